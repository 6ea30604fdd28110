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


@pytest.fixture
def configure(tmp_path):
    """Writes a configuration with these rows of the key table, and more lines."""

    def write(rows, *, signing_table="*@example.com s1\n", more=""):
        (tmp_path / "KeyTable").write_text(rows)
        (tmp_path / "SigningTable").write_text(signing_table)
        path = tmp_path / "opendkim.conf"
        path.write_text(
            f"KeyTable {tmp_path}/KeyTable\nSigningTable refile:{tmp_path}/SigningTable\n{more}"
        )
        return path

    return write


def test_all_keys_of_a_configuration(run, keys, records, configure, tmp_path):
    conf = configure(
        f"rsa example.com:s1:{keys}/s1.private\n"
        f"ed25519 example.com:s1-ed25519:{keys}/s1-ed25519.private\n"
    )
    ran = run("testkey", "-x", conf, "--records", records)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.decode().splitlines() == [
        f"{tmp_path}/KeyTable:1: rsa: s1._domainkey.example.com: key OK",
        f"{tmp_path}/KeyTable:2: ed25519: s1-ed25519._domainkey.example.com: key OK",
    ]
    assert "2 keys tested, 0 failed" in run("testkey", "-x", conf, "--records", records, "-v").err


@pytest.mark.parametrize(
    ("row", "status", "word"),
    [
        ("bad example.com:s1:{keys}/other.private", 65, "keys do not match"),
        ("bad example.com:s2:{keys}/s1.private", 69, "record not found"),
        ("bad example.com:s1:{keys}/absent.private", 66, "does not exist"),
        ("bad example.com:s1", 78, "corrupt"),
        ("bad example.com:s1:{keys}/s1.private:ed25519-sha256", 78, "rsa-sha256"),
    ],
)
def test_one_key_that_fails_is_a_status_and_a_line(
    run, keys, records, configure, tmp_path, row, status, word
):
    # opendkim-testkey exits with 0 here, so that no script notices.
    good = f"good example.com:s1:{keys}/s1.private\n"
    conf = configure(f"{row.format(keys=keys)}\n{good}")
    ran = run("testkey", "-x", conf, "--records", records)
    assert ran.status == status
    first, second = sorted(ran.out.decode().splitlines())
    assert first.startswith(f"{tmp_path}/KeyTable:1: ")
    assert word in first
    assert second == f"{tmp_path}/KeyTable:2: good: s1._domainkey.example.com: key OK"


def test_a_short_key_does_not_sign_and_fails(run, keys, records, configure):
    conf = configure(f"rsa example.com:s1:{keys}/s1.private\n", more="MinimumKeyBits 4096\n")
    ran = run("testkey", "-x", conf, "--records", records)
    assert ran.status == 78
    assert b"too small" in ran.out


def test_a_row_for_any_domain_is_tested_for_those_that_are_listed(run, keys, records, configure):
    rows = f"any %:s1:{keys}/s1.private\n"
    conf = configure(rows, signing_table="*@example.com any\nada@example.com any\n* any\n")
    ran = run("testkey", "-x", conf, "--records", records)
    assert (ran.status, ran.out.count(b"\n")) == (0, 1)
    assert b"s1._domainkey.example.com: key OK" in ran.out
    conf = configure(rows, signing_table="* any\n")
    ran = run("testkey", "-x", conf, "--records", records)
    assert (ran.status, ran.out.count(b"not tested")) == (0, 1)
    (value,) = run("testkey", "-x", conf, "--records", records, "--json").json
    assert (value["status"], value["key_name"]) == ("skipped", "any")


def test_a_single_key_is_tested_for_each_domain(run, keys, records, tmp_path):
    conf = tmp_path / "opendkim.conf"
    conf.write_text(f"Domain example.com, example.org\nSelector s1\nKeyFile {keys}/s1.private\n")
    ran = run("testkey", "-x", conf, "--records", records)
    assert ran.status == 69
    assert ran.out.decode().splitlines() == [
        f"{conf}:3: KeyFile: s1._domainkey.example.com: key OK",
        f"{conf}:3: KeyFile: s1._domainkey.example.org: "
        "'s1._domainkey.example.org' record not found",
    ]


def test_the_configuration_says_whom_to_ask(run, keys, records, configure, tmp_path):
    published = tmp_path / "published"
    record = read_records(records)["s1._domainkey.example.com."][0]
    published.write_bytes(b"s1._domainkey.example.com " + record + b"\n")
    rows = f"rsa example.com:s1:{keys}/s1.private\n"
    conf = configure(rows, more=f"TestPublicKeys {published}\n")
    assert run("testkey", "-x", conf).status == 0
    conf = configure(rows, more="Nameservers 127.0.0.1:9\nDNSTimeout 1\n")
    assert run("testkey", "-x", conf).status in (75, 78)  # a port may be refused as a setting


@pytest.mark.parametrize(
    ("text", "status"),
    [("Mode v\n", 78), ("NoSuchOption yes\n", 78), (None, 78)],
)
def test_a_configuration_without_keys_is_an_error(run, tmp_path, text, status):
    conf = tmp_path / "opendkim.conf"
    if text is not None:
        conf.write_text(text)
    ran = run("testkey", "-x", conf)
    assert (ran.status, ran.out) == (status, b"")
    assert "opendkim.conf" in ran.err


def test_all_keys_in_json(run, keys, records, configure):
    conf = configure(
        f"rsa example.com:s1:{keys}/s1.private\nbad example.com:s1:{keys}/other.private\n"
    )
    first, second = run("testkey", "-x", conf, "--records", records, "--json").json
    assert (first["status"], first["name"]) == ("ok", "s1._domainkey.example.com")
    assert (second["status"], second["problem"]) == ("failed", "keys do not match")
    assert second["place"].endswith("KeyTable:2")
