"""``dkimcore testkey``: the messages of opendkim-testkey, and statuses that tell the truth."""

from __future__ import annotations

import pytest

from dkimcore.resolvers.zonefile import read_records

DOMAIN = ("-d", "example.com")


@pytest.mark.parametrize("selector", ["s1", "s1-ed25519"])
def test_a_key_that_fits(run, keys, records, selector):
    call = ["testkey", *DOMAIN, "-s", selector, "-k", f"{keys}/{selector}.private"]
    call += ["--records", records]
    assert run(*call) == run(*call)
    ran = run(*call)
    assert (ran.status, ran.out, ran.err) == (0, b"", "")
    ran = run(*call, "-vvv")
    assert ran.out == b"dkimcore testkey: key OK\n"
    assert f"checking key '{selector}._domainkey.example.com'" in ran.err
    assert "key not secure" in ran.err


def test_a_key_that_does_not_fit(run, keys, records):
    key = f"{keys}/other.private"
    ran = run("testkey", *DOMAIN, "-s", "s1", "-k", key, "--records", records)
    assert (ran.status, ran.err) == (65, "dkimcore testkey: keys do not match\n")


def test_a_key_of_the_other_type(run, keys, records):
    key = f"{keys}/s1-ed25519.private"
    ran = run("testkey", *DOMAIN, "-s", "s1", "-k", key, "--records", records)
    assert ran.status == 65


def test_no_record(run, records):
    ran = run("testkey", *DOMAIN, "-s", "none", "--records", records)
    assert ran.status == 69
    assert "'none._domainkey.example.com' record not found" in ran.err


def test_the_record_alone(run, records):
    assert run("testkey", *DOMAIN, "-s", "s1", "--records", records).status == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda record: record.partition(b"p=")[0] + b"p=", "revoked"),
        (lambda record: record.replace(b"h=sha256", b"h=sha1"), "hash"),
        (lambda record: record.replace(b"k=", b"s=tlsrpt; k="), "service"),
        (lambda record: record[:200], "cut off"),
        (lambda record: record.replace(b";", b"\\;"), "backslash"),
    ],
)
def test_a_record_that_cannot_be_used(run, keys, records, tmp_path, change, word):
    record = read_records(records)["s1._domainkey.example.com."][0]
    changed = tmp_path / "records"
    changed.write_bytes(b"s1._domainkey.example.com " + change(record) + b"\n")
    call = ["testkey", *DOMAIN, "-s", "s1", "--records", changed]
    ran = run(*call, "-k", f"{keys}/s1.private")
    assert ran.status == 69
    assert word in ran.err
    assert run(*call).status == 69


def test_a_testing_flag_is_told_and_is_no_error(run, keys, records, tmp_path):
    record = read_records(records)["s1._domainkey.example.com."][0]
    changed = tmp_path / "records"
    changed.write_bytes(b"s1._domainkey.example.com " + record.replace(b"k=", b"t=y; k=") + b"\n")
    key = f"{keys}/s1.private"
    ran = run("testkey", *DOMAIN, "-s", "s1", "-k", key, "--records", changed)
    assert ran.status == 0
    assert "t=y" in ran.err


def test_a_name_server_that_does_not_answer_is_temporary(run):
    ran = run("testkey", *DOMAIN, "-s", "s1", "--nameserver", "127.0.0.1:9")
    assert ran.status == 75


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["-s", "s1"], 64),
        (["-d", "example.com"], 64),
        (["-d", "example.com", "-s", "s1", "-k", "/nowhere/s1.private"], 66),
        (["-d", "example.com", "-s", "s1", "-x", "opendkim.conf"], 64),
    ],
)
def test_what_is_wrong_with_the_call(run, records, options, status):
    ran = run("testkey", *options, "--records", records)
    assert (ran.status, ran.out) == (status, b"")


def test_numbers_of_a_key_that_do_not_fit_are_found(run, records, tmp_path):
    # Two equal primes: it loads unchecked, and signs what never verifies.
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    good = rsa.generate_private_key(65537, 2048).private_numbers()
    bad = rsa.RSAPrivateNumbers(
        p=good.p,
        q=good.q,
        d=good.d,
        dmp1=good.dmp1,
        dmq1=good.dmq1,
        iqmp=good.iqmp + 2,
        public_numbers=good.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    path = tmp_path / "bad.private"
    path.write_bytes(bad.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    ran = run("testkey", *DOMAIN, "-s", "s1", "-k", path, "--records", records)
    assert ran.status == 78


def test_json(run, keys, records):
    call = ["testkey", *DOMAIN, "-s", "s1", "--records", records, "--json", "-k"]
    (good,) = run(*call, f"{keys}/s1.private").json
    assert (good["status"], good["problem"]) == ("ok", None)
    (bad,) = run(*call, f"{keys}/other.private").json
    assert (bad["status"], bad["problem"]) == ("failed", "keys do not match")
