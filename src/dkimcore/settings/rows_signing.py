"""The options about signing: who is signed for, with which key, and how."""

from __future__ import annotations

from dkimcore.settings.option import Importance, Kind, honoured

__all__ = ["SIGNING"]

BOOLEAN, INTEGER, STRING, DATA_SET = Kind.BOOLEAN, Kind.INTEGER, Kind.STRING, Kind.DATA_SET
CORE, COMMON, RARE, OURS = Importance.CORE, Importance.COMMON, Importance.RARE, Importance.OURS

SIGNING = (
    honoured(
        *("BodyLengthDB", DATA_SET, RARE, "-", "signing.body_length_db"),
        "Recipients for whom signatures get l=, the length of the body.",
    ),
    honoured(
        *("Canonicalization", STRING, CORE, "relaxed/relaxed"),
        "signing.header_canonicalization signing.body_canonicalization",
        "`simple` or `relaxed` for header/body; one word alone is the header's, and the body "
        "is `simple` then. OpenDKIM's default is simple/simple.",
    ),
    honoured(
        *("DefaultSender", STRING, RARE, "-", "signing.default_sender"),
        "The author's address where a message names none.",
    ),
    honoured(
        *("Diagnostics", BOOLEAN, RARE, "no", "signing.copied_fields"),
        "Write z=, a copy of the signed fields.",
    ),
    honoured(
        *("DkimcoreKeyBackends", STRING, OURS, "-", "signing.key_backends"),
        "A TOML file that says where key backends (Vault, AWS KMS, PKCS#11) are and how to log in "
        "there; not set, the environment says it.",
    ),
    honoured(
        *("Domain", DATA_SET, CORE, "-", "signing.domains"),
        "The domains to sign for with KeyFile and Selector; `*` means all. A KeyTable switches "
        "it off.",
    ),
    honoured(
        *("DontSignMailTo", DATA_SET, RARE, "-", "signing.exempt_recipients"),
        "A message to one of these recipients is not signed.",
    ),
    honoured(
        *("FixCRLF", BOOLEAN, RARE, "no", "signing.fix_crlf"),
        "Hash a bare CR or LF in the body as CRLF.",
    ),
    honoured(
        *("IdentityHeader", STRING, RARE, "-", "signing.identity_header"),
        "The address in this field becomes i=.",
    ),
    honoured(
        *("IdentityHeaderRemove", BOOLEAN, RARE, "no", "signing.identity_header_remove"),
        "Delete that field after signing.",
    ),
    honoured(
        *("KeyFile", STRING, CORE, "-", "signing.key_file"),
        "The one private key: a path or a key URI. A KeyTable switches it off.",
    ),
    honoured(
        *("KeyTable", DATA_SET, CORE, "-", "signing.key_table"),
        "Key names, each with domain, selector, key, and if wanted the algorithm.",
    ),
    honoured(
        *("MaximumSignedBytes", INTEGER, RARE, "-1", "signing.maximum_signed_bytes"),
        "Sign so many octets of the body at most, with l=; -1 signs all.",
    ),
    honoured(
        *("MultipleSignatures", BOOLEAN, COMMON, "no", "signing.multiple_signatures"),
        "Sign by all rows of the SigningTable that apply, not by the first alone.",
    ),
    honoured(
        *("OmitHeaders", DATA_SET, COMMON, "-", "signing.omit_headers"),
        "Fields that are not signed.",
    ),
    honoured(
        *("OverSignHeaders", DATA_SET, CORE, "-", "signing.oversign_headers"),
        "Fields named once more in h= than the message has them, so that none can be added. "
        "Not set, it is From and what else people see or what changes how a body is read; "
        "OpenDKIM's default is none.",
    ),
    honoured(
        *("RemoveOldSignatures", BOOLEAN, COMMON, "no", "signing.remove_old_signatures"),
        "Delete the DKIM-Signature fields of a message that we sign.",
    ),
    honoured(
        *("ReplaceHeaders", DATA_SET, RARE, "-", "signing.replace_headers"),
        "The fields that ReplaceRules are for; not set, all.",
    ),
    honoured(
        *("ReplaceRules", STRING, RARE, "-", "signing.replace_rules"),
        "A file of `PATTERN TAB TEXT`: what to replace in values before they are signed or "
        "verified, for an MTA that will rewrite them so.",
    ),
    honoured(
        *("RequireSafeKeys", BOOLEAN, CORE, "yes", "signing.require_safe_keys"),
        "Refuse key files that other users may read or replace; `no` warns only.",
    ),
    honoured(
        *("ResignAll", BOOLEAN, RARE, "no", "signing.resign_all"),
        "ResignMailTo signs also what did not verify.",
    ),
    honoured(
        *("ResignMailTo", DATA_SET, RARE, "-", "signing.resign_recipients"),
        "Recipients for whom mail that verified is signed again.",
    ),
    honoured(
        *("SelectCanonicalizationHeader", STRING, RARE, "-", "signing.canonicalization_header"),
        "A field of the message that chooses c=. Not set, none does; in OpenDKIM anybody's "
        "`Canonicalization` field would.",
    ),
    honoured(
        *("Selector", STRING, CORE, "-", "signing.selector"),
        "The selector of the one key. A KeyTable switches it off.",
    ),
    honoured(
        *("SenderHeaders", DATA_SET, COMMON, "-", "signing.sender_headers"),
        "Fields that may name whom to sign for: the first that is there does, else From.",
    ),
    honoured(
        *("SenderMacro", STRING, RARE, "-", "signing.sender_macro"),
        "A macro of the MTA that names whom to sign for, preferred to fields.",
    ),
    honoured(
        *("SignatureAlgorithm", STRING, CORE, "-", "signing.algorithm"),
        "`rsa-sha256` or `ed25519-sha256`: each key's type decides, so keys of both types may "
        "sign. `rsa-sha1` is refused: RFC 8301 forbids it.",
    ),
    honoured(
        *("SignatureTTL", INTEGER, COMMON, "0", "signing.lifetime"),
        "Seconds from t= to x=; 0 writes no x=.",
    ),
    honoured(
        *("SignHeaders", DATA_SET, COMMON, "-", "signing.sign_headers"),
        "Fields to sign. With an entry `*` it changes the usual list: `+name` adds, `-name` "
        "takes away.",
    ),
    honoured(
        *("SigningTable", DATA_SET, CORE, "-", "signing.signing_table"),
        "Which key names sign for which authors. Needs a KeyTable.",
    ),
    honoured(
        *("SubDomains", BOOLEAN, CORE, "no", "signing.subdomains"),
        "Domain stands for its subdomains, too.",
    ),
)
