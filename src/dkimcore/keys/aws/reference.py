"""Which key of AWS KMS a URI names, and in which region.

Takes ARNs and aliases apart; whether KMS has such a key is left to `client`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkimcore.errors import KeyUriError

if TYPE_CHECKING:
    from dkimcore.keys.uri import KeyUri

__all__ = ["KeyArn", "KeyReference", "check_region"]

# The API's own pattern for names of aliases has ":" too, which KMS then refuses.
_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}")
# Of UUIDs, and "mrk-" with 32 digits for keys that have copies in other regions.
_KEY_ID = re.compile(r"[A-Za-z0-9-]{1,128}")
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]{0,20}):kms:(?P<region>[a-z0-9-]{1,63})"
    r":(?P<account>[0-9]{12}):(?P<resource>(?:key|alias)/[A-Za-z0-9/_-]{1,250})"
)
_REGION = re.compile(r"[a-z]{2,10}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}")  # part of a host name
_FORMS = (
    "write awskms:arn:aws:kms:REGION:ACCOUNT:key/ID, awskms:alias/NAME?region=REGION or "
    "awskms:KEY-ID?region=REGION"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyArn:
    """The name of one KMS key, or of an alias of one.

    Attributes:
        text: The whole ARN.
        region: Where the key is.
        account: Whose it is, 12 digits.
        resource: ``key/ID`` or ``alias/NAME``.
    """

    text: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> KeyArn | None:
        """Take an ARN apart; None: it is no ARN of a key or an alias of KMS."""
        match = _ARN.fullmatch(text)
        if match is None:
            return None
        return cls(
            text=text,
            region=match["region"],
            account=match["account"],
            resource=match["resource"],
        )

    @property
    def is_alias(self) -> bool:
        """Whether it names an alias, which may be moved to another key."""
        return self.resource.startswith("alias/")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReference:
    """What a URI says about a key.

    Attributes:
        key_id: What KMS is asked for: an ARN, a name of an alias, or the id of a key.
        region: Where it is; None where the URI does not say it.
        arn: The ARN, where it is one.
    """

    key_id: str
    region: str | None
    arn: KeyArn | None

    @classmethod
    def of(cls, uri: KeyUri) -> KeyReference:
        """Read a URI of the scheme ``awskms``.

        Args:
            uri: The URI.

        Raises:
            KeyUriError: It names no key, or two regions.
        """
        region = uri.options.get("region")
        if region is not None:
            check_region(region)
        arn = KeyArn.parse(uri.path)
        if arn is not None:
            if region not in (None, arn.region):
                raise KeyUriError(
                    f"{uri}: the ARN is of {arn.region} and region= says {region}; leave region= "
                    "away"
                )
            return cls(key_id=arn.text, region=arn.region, arn=arn)
        if not _ALIAS.fullmatch(uri.path) and not _KEY_ID.fullmatch(uri.path):
            raise KeyUriError(f"{uri}: this names no key of AWS KMS; {_FORMS}{_hint(uri.path)}")
        return cls(key_id=uri.path, region=region, arn=None)

    @property
    def is_alias(self) -> bool:
        """Whether it names an alias, which may be moved to another key."""
        return self.arn.is_alias if self.arn is not None else self.key_id.startswith("alias/")

    def fits(self, arn: KeyArn) -> bool:
        """Whether KMS may answer a question for this key with that ARN.

        Args:
            arn: What stands in the answer.
        """
        if arn.is_alias:
            return False
        if self.arn is None:
            return self.is_alias or arn.resource == f"key/{self.key_id}"
        if self.is_alias:
            return (arn.region, arn.account) == (self.arn.region, self.arn.account)
        return arn == self.arn


def check_region(region: str) -> None:
    """Refuse what is no region: it becomes part of a host name.

    Args:
        region: Such as ``eu-west-1``.

    Raises:
        KeyUriError: It is none.
    """
    if not _REGION.fullmatch(region):
        raise KeyUriError(f"{region[:64]!r} is no region of AWS; write one such as eu-west-1")


def _hint(path: str) -> str:
    if path.startswith("alias/") and "." in path:
        return ". Names of aliases have no dots: write example_com for example.com"
    if path.startswith("arn:"):
        return ". An ARN of another service, or one that is not whole, will not do"
    return ""
