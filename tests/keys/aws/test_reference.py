"""Which key a URI names."""

from __future__ import annotations

import pytest

from dkimcore.errors import KeyUriError
from dkimcore.keys.aws.reference import KeyArn, KeyReference, check_region
from dkimcore.keys.uri import KeyUri

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ALIAS = "arn:aws:kms:eu-west-1:111122223333:alias/dkim/example_com/s1"


def reference(text):
    return KeyReference.of(KeyUri.parse(text))


@pytest.mark.parametrize(
    ("rest", "key_id", "region", "is_alias"),
    [
        (KEY, KEY, "eu-west-1", False),
        (ALIAS, ALIAS, "eu-west-1", True),
        (f"{KEY}?region=eu-west-1", KEY, "eu-west-1", False),
        ("alias/dkim/s1?region=eu-west-1", "alias/dkim/s1", "eu-west-1", True),
        ("alias/dkim/s1", "alias/dkim/s1", None, True),
        (
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            None,
            False,
        ),
        (
            "mrk-1234abcd12ab34cd56ef1234567890ab?region=us-east-2",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "us-east-2",
            False,
        ),
    ],
)
def test_forms(rest, key_id, region, is_alias):
    read = reference(f"awskms:{rest}")

    assert (read.key_id, read.region, read.is_alias) == (key_id, region, is_alias)
    assert (read.arn is not None) == key_id.startswith("arn:")


@pytest.mark.parametrize(
    ("partition", "region"),
    [
        ("aws", "ap-southeast-2"),
        ("aws-cn", "cn-north-1"),
        ("aws-us-gov", "us-gov-west-1"),
        ("aws-iso", "us-iso-east-1"),
        ("aws-iso-b", "us-isob-east-1"),
        ("aws-eusc", "eusc-de-east-1"),
    ],
)
def test_partitions(partition, region):
    arn = KeyArn.parse(f"arn:{partition}:kms:{region}:111122223333:key/mrk-12")

    assert arn.region == region
    assert arn.resource == "key/mrk-12"
    check_region(region)


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:kms:eu-west-1:111122223333:key/",
        "arn:aws:kms:eu-west-1:1111:key/1234",
        "arn:aws:iam::111122223333:role/mail",
        "arn:aws:kms:eu-west-1:111122223333:grant/1234",
        "arn:azure:kms:eu-west-1:111122223333:key/1234",
        "arn:aws:kms:eu-west-1:111122223333:key/1234\n",
        "",
    ],
)
def test_not_an_arn(text):
    assert KeyArn.parse(text) is None


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("alias/example.com", "write example_com for example.com"),
        ("arn:aws:iam::111122223333:role/mail", "another service"),
        ("alias/", "names no key"),
        ("a key", "names no key"),
        ("alias/ä", "names no key"),
        (f"{KEY}?region=us-east-1", "the ARN is of eu-west-1 and region= says us-east-1"),
        ("alias/s1?region=evil.example/", "is no region"),
        ("alias/s1?region=eu-west-1.evil.example", "is no region"),
        ("alias/s1?region=", "is no region"),
    ],
)
def test_refused(rest, problem):
    with pytest.raises(KeyUriError, match=problem):
        reference(f"awskms:{rest}")


def test_what_the_answer_may_name():
    key = KeyArn.parse(KEY)
    elsewhere = KeyArn.parse(KEY.replace("eu-west-1", "us-east-1"))
    of_others = KeyArn.parse(KEY.replace("111122223333", "444455556666"))
    other = KeyArn.parse(KEY.replace("1234abcd", "ffffffff"))

    assert reference(f"awskms:{KEY}").fits(key)
    assert not reference(f"awskms:{KEY}").fits(other)
    assert reference(f"awskms:{ALIAS}").fits(key)
    assert not reference(f"awskms:{ALIAS}").fits(elsewhere)
    assert not reference(f"awskms:{ALIAS}").fits(of_others)
    assert not reference(f"awskms:{ALIAS}").fits(KeyArn.parse(ALIAS))
    assert reference("awskms:alias/s1").fits(of_others)
    assert reference("awskms:1234abcd-12ab-34cd-56ef-1234567890ab").fits(key)
    assert not reference("awskms:1234abcd-12ab-34cd-56ef-1234567890ab").fits(other)
