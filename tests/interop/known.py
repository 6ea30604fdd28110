"""Where a peer is known to be wrong, and why.  What is not in this table must agree."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One pass over the corpus: who, how, and which way."""

    peer: str
    header: str
    body: str
    algorithm: str
    # Whether the peer signs (and dkimcore verifies), or the other way round.
    peer_signs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A peer's known fault on some messages."""

    peer: str
    messages: frozenset[str]
    when: Callable[[Round], bool]
    reason: str


_EVERY: frozenset[str] = frozenset()

KNOWN = (
    Known(
        peer="dkimpy",
        messages=frozenset({"obsolete-colon"}),
        when=lambda _: True,
        reason='refuses "Name :" (RFC 5322 section 4.5 has it; RFC 6376 section 3.4.2 handles it)',
    ),
    Known(
        peer="dkimpy",
        messages=frozenset({"no-final-crlf-blanks"}),
        when=lambda r: r.body == "relaxed",
        reason="keeps white space at the end of a last line without CRLF (section 3.4.4 step a)",
    ),
    Known(
        peer="Mail::DKIM",
        messages=frozenset({"no-final-crlf", "no-final-crlf-blanks", "single-octet"}),
        when=lambda r: r.body == "simple",
        reason="does not add the CRLF that a body lacks (section 3.4.3)",
    ),
    Known(
        peer="OpenDKIM",
        messages=frozenset({"no-final-crlf", "no-final-crlf-blanks", "single-octet"}),
        when=lambda r: r.body == "relaxed",
        reason="does not add the CRLF that a body lacks (section 3.4.4)",
    ),
    Known(
        peer="OpenDKIM",
        messages=frozenset({"obsolete-colon"}),
        when=lambda _: True,
        reason='its test mode refuses "Name :" as malformed',
    ),
    Known(
        peer="OpenDKIM",
        messages=frozenset({"binary-octets", "nul-vt-ff-body"}),
        when=lambda _: True,
        reason="its test mode reads lines as C strings, which a NUL ends",
    ),
    Known(
        peer="OpenDKIM",
        messages=frozenset({"empty-fields", "long-references"}),
        when=lambda r: r.header == "simple",
        reason="its test mode drops and adds a space behind the colon, as milters do",
    ),
    Known(
        peer="OpenDKIM",
        messages=_EVERY,
        when=lambda r: r.peer_signs and r.header == "simple" and r.algorithm == "ed25519-sha256",
        reason=(
            "hashes a DKIM-Signature without the fold that it then puts before b= (section 3.7): "
            "neither dkimpy nor OpenDKIM itself verifies these"
        ),
    ),
)


def reason(played: Round, message: str) -> str | None:
    """Why this peer is expected to be wrong on this message; None if it is not."""
    for known in KNOWN:
        concerns = not known.messages or message in known.messages
        if known.peer == played.peer and concerns and known.when(played):
            return known.reason
    return None
