"""What the key records of one ``dkimcore keygen`` say, and how they are laid out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dkimcore.cli.zone import zone_entry

if TYPE_CHECKING:
    from dkimcore.protocol.crypto import PublicKey
    from dkimcore.protocol.keyrecord import KeyRecord
    from dkimcore.protocol.names import DomainName, Selector

__all__ = ["RecordPlan"]

_GENKEY_ORDER = ("v", "n", "h", "k", "t", "s", "p")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlan:
    """What all records of one call have in common.

    Attributes:
        domain: For whom they are; None where nobody has said it yet.
        template: A record without a key.
        append_domain: Write names with the domain, absolute.
    """

    domain: DomainName | None
    template: KeyRecord
    append_domain: bool = False

    def text(self, public_key: PublicKey) -> str:
        """Return the record of a key, with its tags in the order of opendkim-genkey.

        Args:
            public_key: The key.
        """
        record = replace(self.template, public_key=public_key, key_type=public_key.key_type)
        tags = {tag.partition("=")[0]: tag for tag in record.print().decode("utf-8").split("; ")}
        return "; ".join(tags[name] for name in _GENKEY_ORDER if name in tags)

    def name(self, selector: Selector) -> str:
        """Return where a record is, as far as it is known.

        Args:
            selector: Its selector.
        """
        name = f"{selector.ascii}._domainkey"
        return name if self.domain is None else f"{name}.{self.domain.ascii}"

    def zone_entry(self, selector: Selector, public_key: PublicKey) -> str:
        """Return the record of a key as a zone file has it.

        Args:
            selector: Where it is.
            public_key: The key.
        """
        owner = f"{selector.ascii}._domainkey"
        comment = f"----- DKIM key {selector.ascii}"
        if self.domain is not None:
            comment += f" for {self.domain.ascii}"
            if self.append_domain:
                owner += f".{self.domain.ascii}."
        return zone_entry(owner, self.text(public_key).encode(), comment=comment)
