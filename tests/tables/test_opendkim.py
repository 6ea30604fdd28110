"""The tables choose what Debian's opendkim chooses, asked in its test mode (``-t``)."""

from __future__ import annotations

import random
import re
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dkimcore.protocol.mailbox import Mailbox
from dkimcore.tables import KeyTable, SigningTable, plan

CONF = """\
SigningTable {type}:{folder}/st
KeyTable {folder}/kt
Mode s
RequireSafeKeys no
Syslog no
"""
USERS = ["user", "User", "news", '"a b"', "a+b"]
HOSTS = ["example.com", "mail.example.com", "a.mail.example.com", "example.org", "com", "x.y.z"]
EXACT = [
    *("*", "user@*", ".com", "user@.com", ".example.com", "user@.example.com", "example.com"),
    *("user@example.com", "EXAMPLE.org", "mail.example.com", ".mail.example.com", "*@example.com"),
    *("news@.mail.example.com", ".y.z", ".z", '"a', "a+b@*"),
]
PATTERNS = [
    *("*@example.com", "*@*.example.com", "USER@*", "*", "[un]*@example.*", "user|example.org"),
    *("(user|news)@*", "a+b@*", "*@?.y.z", "*.z", " *@example.org", "n?ews@*", "*e{1}x*"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("opendkim")
    key = rsa.generate_private_key(65537, 1024)  # its values do not matter, its speed does
    (path / "k.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def theirs(folder, address):
    (folder / "m").write_text(f"From: x <{address}>\nSubject: x\n\nHello.\n".replace("\n", "\r\n"))
    run = subprocess.run(
        ["opendkim", "-t", folder / "m", "-x", folder / "conf", "-b", "s"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode in (0, 70), run.stderr  # 70: accepted as it is
    found = [re.search(rf"\b{tag}=([^;]*);", run.stdout) for tag in "ds"]
    return tuple(match and match[1] for match in found)


@pytest.mark.server("opendkim")
@pytest.mark.parametrize(("type", "keys"), [("file", EXACT), ("refile", PATTERNS)])
def test_the_same_row_is_chosen(folder, type, keys):
    """Parts 3.2, 3.3, 4.1, 4.3 and 4.5."""
    choose = random.Random(7)
    (folder / "conf").write_text(CONF.format(type=type, folder=folder))
    (folder / "kt").write_text(
        "".join(f"k{n} {'%' if n % 2 else 'fixed.example'}:s{n}:{folder}/k.pem\n" for n in range(9))
    )
    key_table = KeyTable.load(f"{folder}/kt")
    signed = 0
    for _ in range(40):
        rows = choose.sample(keys, k=4)
        text = "".join(f"{key}  k{n} # {key}\n" for n, key in enumerate(rows))
        (folder / "st").write_text(text)
        address = f"{choose.choice(USERS)}@{choose.choice(HOSTS)}"
        author = Mailbox.parse(address.encode())
        signing_table = SigningTable.load(f"{type}:{folder}/st")
        if author.domain == "com" and any(
            row.key_name in ("k1", "k3") for row in signing_table.match(author)
        ):
            continue  # d=com, which we refuse
        ours = [
            (str(one.domain), str(one.selector)) for one in plan(author, signing_table, key_table)
        ]
        assert (ours or [(None, None)]) == [theirs(folder, address)], f"{address}\n{text}"
        signed += bool(ours)
    assert signed > 15  # else little was compared
