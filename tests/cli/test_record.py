"""``dkimcore record``: each way to give a record, each thing that can be wrong with it."""

from __future__ import annotations

import pytest

from dkimcore.resolvers.zonefile import read_records
from dkimcore.testing import EphemeralKey

GOOD = EphemeralKey.rsa().key_record()
SHORT = EphemeralKey.rsa(1024).key_record()


def codes(ran):
    (line,) = ran.json
    found = [finding["code"] for finding in line["findings"]]
    for record in line["records"]:
        found += [finding["code"] for finding in record["findings"]]
    return found


@pytest.mark.parametrize("way", ["argument", "stdin", "dash", "file", "zone file"])
def test_every_way_to_give_a_record(run, tmp_path, keys, way):
    path = tmp_path / "record.txt"
    path.write_bytes(GOOD + b"\n")
    ran = {
        "argument": lambda: run("record", GOOD.decode()),
        "stdin": lambda: run("record", stdin=GOOD),
        "dash": lambda: run("record", "-", stdin=(keys / "s1.txt").read_bytes()),
        "file": lambda: run("record", path),
        "zone file": lambda: run("record", keys / "s1.txt"),
    }[way]()
    assert (ran.status, ran.err) == (0, "")
    assert b"good: rsa key of 2048 bits" in ran.out


def test_from_the_dns(run, records, nsd_server):
    zone = {**read_records(records), "two._domainkey.example.com.": [GOOD, b"v=DKIM1; p="]}
    host, port = nsd_server(zone=zone).address
    where = ["--nameserver", f"{host}:{port}", "-d", "example.com"]
    ran = run("record", *where, "-s", "s1-ed25519")
    assert ran.status == 0
    assert b"good: ed25519 key" in ran.out
    ran = run("record", *where, "-s", "none")
    assert ran.status == 66
    assert "several-records" in codes(run("record", *where, "-s", "two", "--json"))


def test_of_a_private_key(run, keys, tmp_path):
    ran = run("record", "--key", f"{keys}/s1.private")
    (published,) = read_records(keys / "s1.txt")["s1._domainkey.example.com."]
    assert ran.out == published + b"\n"
    ran = run("record", "--key", f"{keys}/s1.private", "--zone", "-d", "example.com", "-s", "s1")
    path = tmp_path / "zone"
    path.write_bytes(ran.out)
    assert read_records(path) == {"s1._domainkey.example.com.": (published,)}


@pytest.mark.parametrize(
    ("record", "status", "expected"),
    [
        (GOOD, 0, []),
        (GOOD.replace(b"k=", b"t=y; k="), 0, ["testing"]),
        (GOOD.replace(b"k=", b"t=s; k="), 0, ["strict"]),
        (GOOD.replace(b"v=DKIM1; ", b""), 0, ["no-version"]),
        (GOOD.replace(b"k=", b"h=sha1:sha256; k="), 0, ["sha1-allowed"]),
        (SHORT, 0, ["key-short"]),
        (b"v=DKIM1; p=", 1, ["key-revoked"]),
        (GOOD.replace(b"k=", b"h=sha1; k="), 1, ["no-sha256", "sha1-allowed"]),
        (GOOD.replace(b"k=", b"s=tlsrpt; k="), 1, ["not-for-email"]),
        (GOOD + b"; junk", 65, ["key-syntax-error", "junk"]),
        (GOOD.replace(b";", b"\\;"), 65, ["escaped-semicolon"]),
        (b'"' + GOOD + b'"', 65, ["quotes"]),
        (GOOD[:250], 65, ["key-cut-off"]),
        (GOOD.replace(b"DKIM1", b"dkim1"), 65, ["wrong-version"]),
        (GOOD.partition(b"; ")[2] + b"; v=DKIM1", 65, ["version-not-first"]),
        (GOOD.replace(b"p=", b"p=-----BEGIN PUBLIC KEY-----"), 65, ["pem", "not-base64"]),
        (GOOD.replace(b"; k", b";\xc2\xa0k"), 65, ["typographic"]),
        (b"v=DKIM1; p=" + b"A" * 5000, 65, ["limit-exceeded"]),
    ],
)
def test_what_can_be_wrong_with_a_record(run, record, status, expected):
    ran = run("record", "--json", stdin=record)
    assert ran.status == status
    found = codes(ran)
    assert [code for code in expected if code not in found] == []
    if status == 0:
        assert found == expected


def test_a_short_key_is_refused(run):
    from cryptography.hazmat.primitives.asymmetric import rsa

    from dkimcore import KeyRecord, PublicKey

    # The shortest that `cryptography` makes is refused by every verifier.
    key = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    short = rsa.RSAPublicNumbers(key.e, (key.n >> 100) | 1).public_key()
    record = KeyRecord(public_key=PublicKey.of(short)).print()
    ran = run("record", "--json", stdin=record)
    assert ran.status == 1
    assert "key-too-short" in codes(ran)


def test_a_zone_file_with_a_string_that_is_too_long(run):
    line = b's1._domainkey IN TXT "v=DKIM1; p=' + b"A" * 400 + b'"\n'
    ran = run("record", stdin=line)
    assert ran.status == 65
    assert "255" in ran.err


def test_zone_of_a_record_is_what_name_servers_read(run, nsd_server, tmp_path):
    ran = run("record", "--zone", stdin=GOOD)
    path = tmp_path / "zone"
    path.write_bytes(ran.out.replace(b"selector", b"s1"))
    ((name, records),) = read_records(path, origin="example.com").items()
    assert (name, records) == ("s1._domainkey.example.com.", (GOOD,))


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (["-d", "example.com"], 64),
        (["v=DKIM1; p=", "-d", "example.com", "-s", "s1"], 64),
        (["/nowhere/s1.txt"], 66),
        ([], 66),
        (["--key", "/nowhere/s1.private"], 66),
    ],
)
def test_what_is_wrong_with_the_call(run, call, status):
    ran = run("record", *call)
    assert (ran.status, ran.out) == (status, b"")


@pytest.mark.parametrize(
    "octets", [b"\0\x1b[31m", b";" * 10_000, b"=" * 10_000, b"v=DKIM1; p=\xff\xfe", b"p=" * 5_000]
)
def test_hostile_records(run, octets):
    ran = run("record", stdin=octets)
    assert ran.status == 65
    assert b"\x1b" not in ran.out
    assert "\x1b" not in ran.err
