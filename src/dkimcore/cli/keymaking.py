"""Makes keys where they will stay, or brings them there, by the key makers that are installed.

A maker is somebody else's code, as a backend is: nothing but `DkimError` leaves it, and no
secret.  Files are made by `keyfiles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.cli.exits import CommandError, Exit
from dkimcore.errors import ConfigError, KeyUriError
from dkimcore.keys.contain import Containment
from dkimcore.keys.registry import KeyMakers
from dkimcore.keys.uri import KeyUri

if TYPE_CHECKING:
    from collections.abc import Callable

    from dkimcore.errors import DkimError
    from dkimcore.keys import KeyContext, KeyMaker, MadeKey, SigningKey
    from dkimcore.keys.store import KeyStore
    from dkimcore.protocol.names import DomainName, Selector

__all__ = ["check_row", "key_table_row", "make_key", "open_made_key"]


def make_key(
    uri: KeyUri, context: KeyContext, *, call: Callable[[KeyMaker, KeyContext], MadeKey]
) -> MadeKey:
    """Have a key made.

    Args:
        uri: Where.
        context: What the command says about secrets and backends.
        call: Calls one of the maker's functions with the context that it is given.

    Raises:
        ConfigError: Nobody makes keys under the scheme; the URI or a section is wrong.
        KeyBackendError: The key cannot be made.
    """
    containment = Containment(context)
    name = str(uri)
    error: DkimError
    try:
        made = call(KeyMakers().get(uri.scheme), containment.context)
        KeyUri.parse(made.uri)
    except Exception as exc:  # noqa: BLE001 - whatever a maker raises is contained
        if isinstance(exc, ConfigError) and not containment.holds_secret(exc):
            error = exc
        else:
            error = containment.contain(exc, uri=name)
    else:
        return made
    finally:
        # What is made is made; whoever opens it next hears of a backend that is broken.
        containment.context.resources.close()
    raise error


def open_made_key(made: MadeKey, store: KeyStore) -> SigningKey:
    """Open a key that was just made, by the name that it will have in a key table.

    Args:
        made: What the maker says of it.
        store: Opens it, and checks that it signs.

    Raises:
        ConfigError: Its backend is not installed, or misses something.
        KeyBackendError: It cannot be used.
        CommandError: It is another key than the one that was made.
    """
    key = store.get(made.uri)
    if key.public_key != made.public_key:
        raise CommandError(
            f"{made.uri} names another key than the one that was made; do not use it, and report "
            "it to the authors of the key backend",
            status=Exit.SOFTWARE,
        )
    return key


def check_row(uri: KeyUri) -> None:
    """Refuse a name that no row of a key table can hold, before there is a key of this name.

    Args:
        uri: The name.

    Raises:
        KeyUriError: It is such a name.
    """
    if "#" in uri.path:
        raise KeyUriError(
            f"{uri}: a key table cannot name it, for '#' begins a comment there; "
            "choose another name"
        )


def key_table_row(domain: DomainName, selector: Selector, uri: str) -> str:
    """Return the row of a key table for a key.

    Args:
        domain: Who signs with it.
        selector: Where its record is.
        uri: Its pinned URI.
    """
    name = f"{selector.ascii}._domainkey.{domain.ascii}"
    return f"{name} {domain.ascii}:{selector.ascii}:{uri}"
