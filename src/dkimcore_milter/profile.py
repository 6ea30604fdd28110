"""How we sign and what we accept, from the settings (SignHeaders, MinimumKeyBits, ...).

What no option says has dkimcore's defaults (decision 4 of the project, ADR 0007); what one
says has OpenDKIM's meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.tables import field_names

if TYPE_CHECKING:
    from dkimcore.settings.model import Settings, Signing, Source
    from dkimcore_milter.sources import Sources

__all__ = ["MAX_KEY_BITS", "MIN_KEY_BITS", "signing_profile", "verify_policy"]

MIN_KEY_BITS = 1024  # RFC 8301 section 3.2; MinimumKeyBits cannot go below
MAX_KEY_BITS = 8192

# OpenDKIM's own; trace fields and those that MTAs change.
_OMITTED = ("return-path", "received", "comments", "keywords")
_NO_LIMIT = 1 << 30  # octets; MTAs end a header long before


def signing_profile(signing: Signing, sources: Sources) -> SigningProfile:
    """Return how messages are signed.

    Args:
        signing: The settings.
        sources: Loads the lists they name.

    Raises:
        TableError: A list cannot be read.
        SettingsError: OmitHeaders holds From, or a name is no field name.
    """
    default = SigningProfile()
    omitted = set(_names(signing.omit_headers, _OMITTED, sources))
    if "from" in omitted:
        raise _refusal(
            signing.omit_headers,
            "OmitHeaders holds From, which every signature must cover (RFC 6376 section 5.4); "
            "take it out",
        )
    listed = _names(signing.sign_headers, default.fields, sources)
    fields = tuple(dict.fromkeys(("from", *(name for name in listed if name not in omitted))))
    if signing.oversign_headers is not None:
        oversigned = _names(signing.oversign_headers, default.oversigned_fields, sources)
    elif signing.sign_headers is not None:
        oversigned = tuple(name for name in default.oversigned_fields if name in fields)
    else:
        oversigned = tuple(name for name in default.oversigned_fields if name not in omitted)
    try:
        return SigningProfile(
            header_canonicalization=signing.header_canonicalization,
            body_canonicalization=signing.body_canonicalization,
            fields=fields,
            oversigned_fields=oversigned,
            lifetime=signing.lifetime or None,
            copied_fields=signing.copied_fields,
        )
    except SettingsError as exc:
        problem = f"SignHeaders, OverSignHeaders or SignatureTTL: {exc.problem}"
    raise _refusal(signing.oversign_headers or signing.sign_headers, problem)


def verify_policy(settings: Settings, sources: Sources) -> VerifyPolicy:
    """Return which signatures are accepted.

    MaximumSignaturesToVerify 0 chooses signatures by their domains, which is the session's;
    the usual limit applies to those.

    Args:
        settings: The settings.
        sources: Loads the lists they name.

    Raises:
        TableError: A list cannot be read.
        SettingsError: MinimumKeyBits is above 8192.
    """
    verifying, default = settings.verifying, Limits()
    signatures = verifying.maximum_signatures or default.signatures
    bits = max(verifying.minimum_key_bits, MIN_KEY_BITS)
    if bits > MAX_KEY_BITS:
        file, line = sources.where("minimumkeybits")
        raise SettingsError(
            f"MinimumKeyBits {bits} is more than keys have; write at most {MAX_KEY_BITS}",
            file=file,
            line=line,
        )
    return VerifyPolicy(
        min_rsa_bits=bits,
        max_rsa_bits=MAX_KEY_BITS,
        # OpenDKIM's library takes 0 for "not set", too.
        clock_skew=verifying.clock_drift or VerifyPolicy().clock_skew,
        allow_body_length=verifying.allow_body_length,
        allow_historic=verifying.allow_sha1,
        must_be_signed=frozenset(_names(verifying.must_be_signed, (), sources)),
        limits=Limits(
            header_octets=verifying.maximum_header_octets or _NO_LIMIT,
            signatures=signatures,
            queries=max(signatures, default.queries),
        ),
    )


def _names(source: Source | None, default: tuple[str, ...], sources: Sources) -> tuple[str, ...]:
    data_set = sources.data_set(source)
    return default if data_set is None else field_names(data_set, default)


def _refusal(source: Source | None, problem: str) -> SettingsError:
    if source is None:
        return SettingsError(problem)
    return SettingsError(problem, file=source.file, line=source.line)
