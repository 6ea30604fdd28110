"""Sign and verify mail with DKIM (RFC 6376, 8301, 8463, 8616).

`sign` and `verify` block; `dkimcore.aio` has the same for asyncio;
`dkimcore.protocol` is DKIM without any I/O, for loops of your own.
"""

from dkimcore.blocking import sign, verify
from dkimcore.errors import (
    ConfigError,
    DkimError,
    KeyBackendError,
    KeyDenied,
    KeyNotFound,
    KeyUnavailable,
    KeyUnusable,
    KeyUriError,
    MessageError,
    SettingsError,
    StateError,
    TableError,
)
from dkimcore.keys import KeyContext, SigningKey
from dkimcore.keys.store import KeyStore
from dkimcore.protocol.algorithm import Algorithm, HashAlgorithm, KeyType
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.protocol.crypto import PublicKey
from dkimcore.protocol.keyrecord import KeyRecord, TxtAnswer, TxtStatus
from dkimcore.protocol.message import Header, HeaderField, to_crlf
from dkimcore.protocol.names import Auid, DomainName, Selector
from dkimcore.protocol.policy import Limits, SigningProfile, VerifyPolicy
from dkimcore.protocol.result import Cause, SignatureResult, Status, Usage, VerifyResults
from dkimcore.protocol.sign import SignatureFields
from dkimcore.protocol.signature import Signature
from dkimcore.resolvers import AsyncTxtResolver, TxtResolver
from dkimcore.signer import Signer
from dkimcore.version import __version__

__all__ = [
    "Algorithm",
    "AsyncTxtResolver",
    "Auid",
    "Canonicalization",
    "Cause",
    "ConfigError",
    "DkimError",
    "DomainName",
    "HashAlgorithm",
    "Header",
    "HeaderField",
    "KeyBackendError",
    "KeyContext",
    "KeyDenied",
    "KeyNotFound",
    "KeyRecord",
    "KeyStore",
    "KeyType",
    "KeyUnavailable",
    "KeyUnusable",
    "KeyUriError",
    "Limits",
    "MessageError",
    "PublicKey",
    "Selector",
    "SettingsError",
    "Signature",
    "SignatureFields",
    "SignatureResult",
    "Signer",
    "SigningKey",
    "SigningProfile",
    "StateError",
    "Status",
    "TableError",
    "TxtAnswer",
    "TxtResolver",
    "TxtStatus",
    "Usage",
    "VerifyPolicy",
    "VerifyResults",
    "__version__",
    "sign",
    "to_crlf",
    "verify",
]
