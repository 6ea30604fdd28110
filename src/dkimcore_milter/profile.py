"""How we sign and what we accept, from the settings (SignHeaders, MinimumKeyBits, ...).

What no option says has dkimcore's defaults (decision 4 of the project, ADR 0007); what one
says has OpenDKIM's meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.errors import SettingsError
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.settings.model import Source
from dkimcore.tables import field_names

if TYPE_CHECKING:
    from dkimcore.settings.model import Settings, Signing
    from dkimcore_milter.sources import Sources

__all__ = ["signing_profile", "verify_policy"]

# OpenDKIM's own; trace fields and those that MTAs change.
_OMITTED = ("return-path", "received", "comments", "keywords")


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
        SettingsError: A number is out of the range that `dkimcore.settings` allows.
    """
    verifying, default = settings.verifying, Limits()
    signatures = verifying.maximum_signatures or default.signatures
    return VerifyPolicy(
        min_rsa_bits=verifying.minimum_key_bits,
        clock_skew=verifying.clock_drift,
        allow_body_length=verifying.allow_body_length,
        allow_historic=verifying.allow_sha1,
        must_be_signed=frozenset(_names(verifying.must_be_signed, (), sources)),
        limits=Limits(
            header_octets=verifying.maximum_header_octets,
            signatures=signatures,
            queries=settings.limits.queries or max(signatures, default.queries),
        ),
    )


def _names(source: Source | None, default: tuple[str, ...], sources: Sources) -> tuple[str, ...]:
    data_set = sources.data_set(source)
    return default if data_set is None else field_names(data_set, default)


def _refusal(source: Source | None, problem: str) -> SettingsError:
    where = Source("") if source is None else source
    return SettingsError(problem, file=where.file, line=where.line)
