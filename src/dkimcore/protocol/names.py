"""Domain names, selectors and the AUID (RFC 6376 sections 2.6 and 3.1, RFC 8616).

Each keeps the text as written, which is what is hashed, and the A-label form,
which is what is compared and asked for in the DNS.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

from dkimcore.errors import SettingsError

__all__ = ["Auid", "DomainName", "Selector", "fold_domain", "to_a_labels"]

# RFC 5321 section 4.1.2: sub-domain = Let-dig [Ldh-str].  The underscore is outside of that
# and in wide use, for selectors above all ("dkim_s1024"), so it is accepted.
_LABELS = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*+"
)
_MAX_NAME = 253  # octets, RFC 1035 section 2.3.4 without length octets and root


@lru_cache(maxsize=4096)
def to_a_labels(text: str) -> str:
    """Return a name as lower-case A-labels (RFC 8616 section 4).

    Raises:
        ValueError: It is no domain name; the text says why, without the name.
    """
    ascii_text = text
    if len(text) > _MAX_NAME:
        raise ValueError("it is longer than 253 octets")
    if not text.isascii():
        ascii_text = ".".join(map(_to_a_label, text.split(".")))
    if not _LABELS.fullmatch(ascii_text) or len(ascii_text) > _MAX_NAME:
        raise ValueError("a label is empty, longer than 63 octets or holds other characters")
    return ascii_text.lower()


def fold_domain(text: str) -> str:
    """Return a name, perhaps with a leading dot, in A-labels; what is no name as it is.

    For lists of domains, in which ``.example.com`` stands for what is below it.
    """
    if text.isascii():
        return text
    dot = "." if text.startswith(".") else ""
    try:
        return dot + to_a_labels(text.removeprefix("."))
    except ValueError:
        return text


def _to_a_label(label: str) -> str:
    """Convert one label, if it is a U-label; others stay as they are (RFC 8616 section 4)."""
    if label.isascii():
        return label
    import idna  # its tables are large, and few messages need them

    # Case is folded, as the comparison of d= and i= needs, and what is canonically
    # equivalent is one (RFC 5890 section 2.3.2.1 has NFC alone).  More mapping, such as UTS 46 has,
    # would let one domain be written as characters that only look like it.
    folded = unicodedata.normalize("NFC", label.lower())
    try:
        if not folded.isascii():  # KELVIN SIGN becomes "k"
            return idna.alabel(folded).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        pass
    raise ValueError("it is not a valid internationalised domain name")


@dataclass(frozen=True, slots=True)
class DomainName:
    """A domain name of at least two labels, as ``d=`` needs it (RFC 6376 section 3.5).

    Compares by its A-labels, without regard to case.

    Attributes:
        text: As written, perhaps with U-labels.
        ascii: Lower-case A-labels.
    """

    text: str = field(compare=False)
    ascii: str

    @classmethod
    def parse(cls, text: str) -> DomainName:
        """Parse a domain name.

        Args:
            text: A-labels or U-labels, without a trailing dot.

        Raises:
            SettingsError: It is not a domain name of at least two labels.
        """
        try:
            name = cls(text, to_a_labels(text))
        except ValueError as exc:
            raise SettingsError(
                f"{text!r} is not a domain name: {exc}; write one such as example.com"
            ) from exc
        if "." not in name.ascii:
            raise SettingsError(
                f"{text!r} is not a domain name: it needs at least two labels, as example.com"
            )
        return name

    @property
    def a_labels(self) -> DomainName:
        """The same domain written in A-labels, for messages that are not internationalised."""
        return self if self.text.isascii() else DomainName(self.ascii, self.ascii)

    @property
    def u_labels(self) -> str:
        """The name in U-labels, where its A-labels have any (RFC 5890 section 2.3.2.1)."""
        if "xn--" not in self.ascii:
            return self.ascii
        import idna  # as in _to_a_label

        try:
            return idna.decode(self.ascii)
        except (idna.IDNAError, UnicodeError):
            return self.ascii

    def is_within(self, parent: DomainName) -> bool:
        """Whether this is the same as, or a subdomain of, another domain."""
        return self.ascii == parent.ascii or self.ascii.endswith("." + parent.ascii)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector, one label or more (RFC 6376 section 3.1).

    Attributes:
        text: As written.
        ascii: Lower-case A-labels.
    """

    text: str = field(compare=False)
    ascii: str

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Parse a selector.

        Args:
            text: Labels joined by dots.

        Raises:
            SettingsError: It is not a sequence of labels.
        """
        try:
            return cls(text, to_a_labels(text))
        except ValueError as exc:
            raise SettingsError(
                f"{text!r} is not a selector: {exc}; write labels such as s1 or 2026.mail"
            ) from exc

    @property
    def a_labels(self) -> Selector:
        """The same selector written in A-labels, for messages that are not internationalised."""
        return self if self.text.isascii() else Selector(self.ascii, self.ascii)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Auid:
    """An agent or user identifier, ``i=`` (RFC 6376 section 2.6).

    Attributes:
        local_part: What stands before the last "@", decoded; may be empty.
        domain: What stands behind it.
    """

    local_part: bytes
    domain: DomainName

    @classmethod
    def parse(cls, text: str) -> Auid:
        """Parse ``[Local-part] "@" domain-name``.

        Args:
            text: The identifier, not encoded.

        Raises:
            SettingsError: There is no "@" or no domain name behind the last one.
        """
        local_part, at, domain = text.rpartition("@")
        if not at:
            raise SettingsError(
                f"{text!r} is not an AUID: it has no '@'; write one such as @example.com"
            )
        return cls(local_part.encode("utf-8", "surrogateescape"), DomainName.parse(domain))

    @property
    def a_labels(self) -> Auid:
        """The same AUID with its domain written in A-labels."""
        return self if self.domain.text.isascii() else Auid(self.local_part, self.domain.a_labels)

    def __str__(self) -> str:
        return f"{self.local_part.decode('utf-8', 'replace')}@{self.domain.text}"
