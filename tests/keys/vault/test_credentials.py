"""Tokens, secret_ids and the like in files."""

from __future__ import annotations

import os

import pytest

from dkimcore.errors import KeyDenied, KeyUnavailable, KeyUnusable
from dkimcore.keys.secret import Secret
from dkimcore.keys.vault.credentials import CredentialFile, checked_credential, stamps


def file(path, **keywords):
    return CredentialFile(path=str(path), key="token_file", **keywords)


@pytest.mark.parametrize("text", ["s.canary", "s.canary\n", " s.canary \r\n", "b." + "A" * 5000])
def test_what_a_file_holds(write, text):
    assert file(write("t", text)).read(uri="x:y") == Secret(text.strip())


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\nb", "s.ä", "x" * 16_385, b"\xff\x00"])
def test_what_is_no_credential(write, text):
    with pytest.raises(KeyDenied, match=r"token_file .*/t holds no credential") as caught:
        file(write("t", text)).read(uri="x:y")
    assert "words" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(KeyDenied, match="does not exist; write it, or correct token_file"):
        file(tmp_path / "none").read(uri="x:y")
    with pytest.raises(KeyUnavailable, match="see whether the agent that writes it runs"):
        file(tmp_path / "none", is_awaited=True).read(uri="x:y")


def test_a_file_that_others_can_read(open_folder):
    path = open_folder / "token"
    path.write_text("s.canary")
    path.chmod(0o644)
    with pytest.raises(KeyDenied, match="can be read or written by every user"):
        file(path).read(uri="x:y")
    assert file(path, is_checked=False).read(uri="x:y") == Secret("s.canary")


def test_a_sink_that_its_group_can_read(open_folder):
    """Mode 0640, which agents give it, in a group without people."""
    path = open_folder / "token"
    path.write_text("s.canary")
    path.chmod(0o640)
    assert file(path).read(uri="x:y") == Secret("s.canary")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_sink_that_belongs_to_its_agent(open_folder):
    agent, us = 2, 1
    path = open_folder / "token"
    path.write_text("s.canary")
    path.chmod(0o640)
    os.chown(path, agent, us)
    with pytest.raises(KeyDenied, match="belongs to neither root nor the user"):
        file(path, uid=us).read(uri="x:y")
    assert file(path, uid=agent).read(uri="x:y") == Secret("s.canary")


def test_what_is_no_file(tmp_path):
    with pytest.raises(KeyUnusable, match="not a regular file"):
        file(tmp_path).read(uri="x:y")


def test_stamps_change_with_the_file(write, tmp_path):
    watched = (file(write("t", "one")), file(tmp_path / "none"))
    before = stamps(watched)
    assert before == stamps(watched)
    assert before[1] is None
    write("t", "two")
    assert stamps(watched) != before


def test_a_credential_is_not_shown():
    secret = checked_credential("s.canary", what="x", uri="x:y")
    assert "canary" not in f"{secret!r} {secret}"
