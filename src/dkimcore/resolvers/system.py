"""The resolvers used where none is given: the system's name servers, with a cache.

One of each flavour for the whole process, made when first asked for.  Both live on after
a fork; the asynchronous one belongs to no event loop.
"""

from __future__ import annotations

import threading
from functools import cache

from dkimcore.resolvers.cache import AsyncCachingResolver, CachingResolver
from dkimcore.resolvers.dnspython import AsyncDnspythonResolver, DnspythonResolver

__all__ = ["async_system_resolver", "system_resolver"]

_making = threading.Lock()


def system_resolver() -> CachingResolver:
    """Give the process's blocking resolver; always the same one."""
    with _making:
        return _blocking()


def async_system_resolver() -> AsyncCachingResolver:
    """Give the process's resolver for asyncio; always the same one."""
    with _making:
        return _asynchronous()


@cache
def _blocking() -> CachingResolver:
    return CachingResolver(DnspythonResolver())


@cache
def _asynchronous() -> AsyncCachingResolver:
    return AsyncCachingResolver(AsyncDnspythonResolver())
