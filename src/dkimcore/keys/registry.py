"""Which function opens the keys of a scheme: the entry-point group ``dkimcore.keys``.

Finds what is declared by every installed distribution, and imports a backend only when
its scheme is first used.  Opening and checking keys is left to `store`.  What makes keys is
declared in the group ``dkimcore.keymakers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dkimcore.errors import ConfigError, KeyUriError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from dkimcore.keys import KeyBackend, KeyMaker

__all__ = ["KeyBackends", "KeyMakers"]

_GROUP = "dkimcore.keys"
_MAKERS = "dkimcore.keymakers"
_OURSELVES = "dkimcore"
# What pyproject.toml declares too; a source checkout that is not installed has no metadata.
_BUILT_IN = {
    _GROUP: {
        "awskms": "dkimcore.keys.aws.kms:open_key",
        "awskms-envelope": "dkimcore.keys.aws.envelope:open_key",
        "file": "dkimcore.keys.file:open_key",
        "pkcs11": "dkimcore.keys.pkcs11.key:open_key",
        "vault-kv": "dkimcore.keys.vault.kv:open_key",
        "vault-transit": "dkimcore.keys.vault.transit:open_key",
    },
    _MAKERS: {
        "awskms": "dkimcore.keys.aws.making:KMS",
        "awskms-envelope": "dkimcore.keys.aws.making:ENVELOPE",
        "pkcs11": "dkimcore.keys.pkcs11.making:PKCS11",
        "vault-kv": "dkimcore.keys.vault.making:KV",
        "vault-transit": "dkimcore.keys.vault.making:TRANSIT",
    },
}
# Scheme to extra, where a built-in backend needs one.
_EXTRAS = {
    "awskms": "aws",
    "awskms-envelope": "aws",
    "vault-kv": "vault",
    "vault-transit": "vault",
}


class KeyBackends:
    """The key backends that are installed, by scheme.

    Looks at the installed distributions once, when it is first asked.
    """

    __slots__ = ("_declared", "_loaded")

    def __init__(self) -> None:
        self._declared = _Declared(_GROUP)
        self._loaded: dict[str, KeyBackend] = {}

    @property
    def schemes(self) -> tuple[str, ...]:
        """Every scheme that somebody declares, sorted."""
        return self._declared.schemes

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

    def _load(self, scheme: str) -> KeyBackend:
        found = self._declared.load(scheme)
        if found is None:
            known = ", ".join(f"{name}:" for name in self.schemes)
            raise KeyUriError(
                f"no key backend has the scheme {scheme!r}; installed: {known}. "
                "A file whose path holds a colon is written with ./ or / in front"
            )
        owner, value, backend = found
        if not callable(backend):
            raise KeyUriError(f"the key backend {scheme!r} of {owner} is no function: {value}")
        loaded: KeyBackend = backend
        return loaded


class KeyMakers:
    """What makes keys in the backends that are installed, by scheme."""

    __slots__ = ("_declared",)

    def __init__(self) -> None:
        self._declared = _Declared(_MAKERS)

    @property
    def schemes(self) -> tuple[str, ...]:
        """Every scheme under which keys can be made, sorted."""
        return self._declared.schemes

    def get(self, scheme: str) -> KeyMaker:
        """Return what makes keys of a scheme.

        Args:
            scheme: In lower case.

        Raises:
            ConfigError: Two distributions claim the scheme.
            KeyUriError: Nobody does, or what does cannot be imported.
        """
        found = self._declared.load(scheme)
        if found is None:
            known = ", ".join(f"{name}:" for name in self.schemes)
            raise KeyUriError(f"no key can be made under the scheme {scheme!r}; there are: {known}")
        owner, value, maker = found
        if not callable(getattr(maker, "create_key", None)) or not callable(
            getattr(maker, "import_key", None)
        ):
            raise KeyUriError(
                f"what {owner} declares for keys of scheme {scheme!r} is no key maker: {value}"
            )
        loaded: KeyMaker = maker
        return loaded


class _Declared:
    """What installed distributions declare in a group of entry points, by scheme."""

    __slots__ = ("_claims", "_group")

    def __init__(self, group: str) -> None:
        self._group = group
        self._claims: dict[str, dict[str, EntryPoint]] | None = None

    @property
    def schemes(self) -> tuple[str, ...]:
        return tuple(sorted(self._find()))

    def load(self, scheme: str) -> tuple[str, str, Any] | None:
        """Return who declares a scheme, by which words, and what it is; None: nobody does."""
        claims = self._find().get(scheme)
        if claims is None:
            return None
        if len(claims) > 1:
            both = " and ".join(sorted(claims))
            raise ConfigError(
                f"the key scheme {scheme!r} is claimed by {both}; uninstall all but one of them"
            )
        ((owner, entry),) = claims.items()
        try:
            return owner, entry.value, entry.load()
        except ModuleNotFoundError as exc:
            raise KeyUriError(_missing(scheme, owner, entry, exc)) from exc
        except Exception as exc:
            raise KeyUriError(
                f"the key backend {scheme!r} of {owner} cannot be imported "
                f"({type(exc).__name__} in {entry.value}); reinstall {owner} or ask its authors"
            ) from exc

    def _find(self) -> dict[str, dict[str, EntryPoint]]:
        if self._claims is None:
            # Takes 20 ms, and who only verifies has no use for it.
            from importlib.metadata import EntryPoint, entry_points

            claims: dict[str, dict[str, EntryPoint]] = {}
            for entry in entry_points(group=self._group):
                owner = entry.dist.name if entry.dist is not None else "an unnamed distribution"
                claims.setdefault(entry.name.lower(), {})[owner] = entry
            for scheme, value in _BUILT_IN[self._group].items():
                entry = EntryPoint(scheme, value, self._group)
                claims.setdefault(scheme, {}).setdefault(_OURSELVES, entry)
            self._claims = claims
        return self._claims


def _missing(scheme: str, owner: str, entry: EntryPoint, exc: ModuleNotFoundError) -> str:
    extra = _EXTRAS.get(scheme) if owner == _OURSELVES else next(iter(entry.extras), None)
    if extra is None:
        cure = f"install it, or see how {owner} is to be installed"
    else:
        cure = f"pip install '{owner}[{extra}]'"
    return f"the key backend {scheme!r} needs the module {exc.name}, which is absent: {cure}"
