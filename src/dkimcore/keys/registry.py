"""Which function opens the keys of a scheme: the entry-point group ``dkimcore.keys``.

Finds what is declared by every installed distribution, and imports a backend only when
its scheme is first used.  Opening and checking keys is left to `store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, KeyUriError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from dkimcore.keys import KeyBackend

__all__ = ["KeyBackends"]

_GROUP = "dkimcore.keys"
_OURSELVES = "dkimcore"
# What pyproject.toml declares too; a source checkout that is not installed has no metadata.
_BUILT_IN = {"file": "dkimcore.keys.file:open_key"}
# Scheme to extra, where a built-in backend needs one.
_EXTRAS = {"awskms": "aws", "pkcs11": "pkcs11", "vault": "vault"}


class KeyBackends:
    """The key backends that are installed, by scheme.

    Looks at the installed distributions once, when it is first asked.
    """

    __slots__ = ("_claims", "_loaded")

    def __init__(self) -> None:
        self._claims: dict[str, dict[str, EntryPoint]] | None = None
        self._loaded: dict[str, KeyBackend] = {}

    @property
    def schemes(self) -> tuple[str, ...]:
        """Every scheme that somebody declares, sorted."""
        return tuple(sorted(self._find()))

    def get(self, scheme: str) -> KeyBackend:
        """Return the backend of a scheme, importing it when it is first used.

        Args:
            scheme: In lower case.

        Raises:
            ConfigError: Two distributions claim the scheme.
            KeyUriError: Nobody does, or the backend cannot be imported.
        """
        backend = self._loaded.get(scheme)
        if backend is None:
            backend = self._loaded[scheme] = self._load(scheme)
        return backend

    def _find(self) -> dict[str, dict[str, EntryPoint]]:
        if self._claims is None:
            # Takes 20 ms, and who only verifies has no use for it.
            from importlib.metadata import EntryPoint, entry_points

            claims: dict[str, dict[str, EntryPoint]] = {}
            for entry in entry_points(group=_GROUP):
                owner = entry.dist.name if entry.dist is not None else "an unnamed distribution"
                claims.setdefault(entry.name.lower(), {})[owner] = entry
            for scheme, value in _BUILT_IN.items():
                entry = EntryPoint(scheme, value, _GROUP)
                claims.setdefault(scheme, {}).setdefault(_OURSELVES, entry)
            self._claims = claims
        return self._claims

    def _load(self, scheme: str) -> KeyBackend:
        claims = self._find().get(scheme)
        if claims is None:
            known = ", ".join(f"{name}:" for name in self.schemes)
            raise KeyUriError(
                f"no key backend has the scheme {scheme!r}; installed: {known}. "
                "A file whose path holds a colon is written with ./ or / in front"
            )
        if len(claims) > 1:
            both = " and ".join(sorted(claims))
            raise ConfigError(
                f"the key scheme {scheme!r} is claimed by {both}; uninstall all but one of them"
            )
        ((owner, entry),) = claims.items()
        try:
            backend = entry.load()
        except ModuleNotFoundError as exc:
            raise KeyUriError(_missing(scheme, owner, entry, exc)) from exc
        except Exception as exc:
            raise KeyUriError(
                f"the key backend {scheme!r} of {owner} cannot be imported "
                f"({type(exc).__name__} in {entry.value}); reinstall {owner} or ask its authors"
            ) from exc
        if not callable(backend):
            raise KeyUriError(
                f"the key backend {scheme!r} of {owner} is no function: {entry.value}"
            )
        loaded: KeyBackend = backend
        return loaded


def _missing(scheme: str, owner: str, entry: EntryPoint, exc: ModuleNotFoundError) -> str:
    extra = _EXTRAS.get(scheme) if owner == _OURSELVES else next(iter(entry.extras), None)
    if extra is None:
        cure = f"install it, or see how {owner} is to be installed"
    else:
        cure = f"pip install '{owner}[{extra}]'"
    return f"the key backend {scheme!r} needs the module {exc.name}, which is absent: {cure}"
