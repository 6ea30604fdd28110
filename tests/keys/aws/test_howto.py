"""The page about keys in AWS KMS does what it says, with an emulator for AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docs.snippets import Page, blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "keys-in-aws-kms.md"
ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.server("nsd")
def test_examples_do_what_the_page_says(ministack, make_key, tmp_path):
    text = PAGE.read_text("utf-8").replace(
        ARN, make_key("SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT")
    )
    text = text.replace("<!-- emulated-", "<!-- ").replace("<!-- no-run: needs AWS -->\n", "")
    path = tmp_path / "page.md"
    path.write_text(text, "utf-8")
    (tmp_path / "run").mkdir()
    page = Page(path, tmp_path / "run")
    page.environment |= ministack.environment

    assert page.run() == 8


@pytest.mark.parametrize(
    "block", [b for b in blocks(PAGE.read_text("utf-8")) if b.language == "json"]
)
def test_policies(block):
    policy = json.loads(block.text)

    actions = {each["Action"] for each in policy["Statement"]}
    assert actions in ({"kms:Sign", "kms:GetPublicKey"}, {"kms:Decrypt"})
    for statement in policy["Statement"]:
        assert statement["Resource"] == ARN
        assert statement["Effect"] == "Allow"
        assert ("Condition" in statement) == (statement["Action"] != "kms:GetPublicKey")


def test_the_sections_of_the_page_are_read(section):
    from dkimcore.keys.aws.login import KEYS

    rows = re.search(r"## The section\n(.*?)\n## ", PAGE.read_text("utf-8"), re.DOTALL)[1]
    for key in KEYS:
        assert f"| `{key}` |" in rows
