"""What one case is: octets in, words out, and whose demand that is.

`ours` holds the words that dkimcore's decisions allow, `anyone` those that the RFCs allow to any
verifier. Where both are narrow the statement is a MUST; where `anyone` is wide it is our choice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from . import keys

NOW = 1_704_110_400  # 2024-01-01 12:00:00 UTC

Answer = tuple[bytes, ...] | Literal["NXDOMAIN", "SERVFAIL"]
Zone = Mapping[str, Answer]

_BAD = frozenset({"fail", "permerror", "neutral", "policy"})
_ANY = _BAD | {"pass", "temperror", "none"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Acceptable words for one signature."""

    ours: frozenset[str]
    anyone: frozenset[str]


def _verdict(ours: str, anyone: frozenset[str]) -> Verdict:
    return Verdict(frozenset(ours.split()), anyone)


# MUSTs. RFC 8601 leaves the word of a refusal to the verifier, never whether it is one.
PASS = _verdict("pass", frozenset({"pass"}))
FAIL = _verdict("fail", _BAD)
PERM = _verdict("permerror", _BAD)
POLICY = _verdict("policy", _BAD)
BAD = _verdict("fail permerror policy", _BAD)
# A signature that both checks refuse: which one comes first is not for the RFCs to say.
FAIL_OR_PERM = _verdict("fail permerror", _BAD)
# RFC 6376 section 6.1.2: "may seek a later attempt"; a plain refusal is what it advises against.
TEMP = _verdict("temperror", frozenset({"temperror"}))


def choice(ours: str) -> Verdict:
    """Ours to choose: `ours` for dkimcore, anything for others."""
    return _verdict(ours, _ANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message with its DNS, and what a verifier may say."""

    name: str
    statement: int
    why: str
    make: Callable[[], bytes]
    verdicts: tuple[Verdict, ...]
    dns: Zone = field(default_factory=dict)
    now: int = NOW
    # Verify with l= allowed, to see the judgement that our default policy hides.
    allow_length: bool = False
    # Too large for every octet-by-octet or peer run.
    heavy: bool = False
    # Words for the whole message, where the signatures' own words do not give it.
    overall: frozenset[str] | None = None

    @property
    def section(self) -> str:
        """The RFC and section that the statement comes from."""
        return section_of(self.statement)

    @property
    def zone(self) -> dict[str, Answer]:
        """Every DNS answer of the case; a name that is not there does not exist."""
        return {**default_zone(), **self.dns}

    @property
    def must(self) -> bool:
        """Whether an RFC demands the outcome of every verifier."""
        return all(verdict.anyone != _ANY for verdict in self.verdicts)


_SELECTORS = ("512", "768", "1023", "1024", "1025", "1536", "2047", "3072", "4096", "e3")


def default_zone() -> dict[str, Answer]:
    """The key records that every case has."""
    zone: dict[str, Answer] = {
        "rsa._domainkey.example.com.": (keys.rsa().record(),),
        "rsab._domainkey.example.com.": (keys.rsa("b").record(),),
        "ed._domainkey.example.com.": (keys.ed().record(),),
    }
    for name in _SELECTORS:
        zone[f"rsa{name}._domainkey.example.com."] = (keys.rsa(name).record(),)
    return zone


def at(name: str, *records: bytes) -> dict[str, Answer]:
    """A zone of one name; a name without a dot is a selector of example.com."""
    full = name if "." in name else f"{name}._domainkey.example.com"
    return {f"{full}.": records}


_SECTIONS = (
    (16, "6376 3.2"),
    (49, "6376 3.5"),
    (60, "6376 3.4.2"),
    (70, "6376 3.4.4"),
    (72, "6376 3.3"),
    (76, "8301 3"),
    (77, "6376 8.13"),
    (81, "8463 4"),
    (83, "6376 6.1.3"),
    (102, "6376 3.6.1"),
    (114, "6376 6.1"),
    (130, "6376 5"),
    (136, "8616 5"),
    (146, "8601 2"),
    (172, "6376 8"),
)


def section_of(statement: int) -> str:
    """RFC and section for a statement's number."""
    return next(section for last, section in _SECTIONS if statement <= last)
