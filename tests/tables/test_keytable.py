"""The key table: OpenDKIM's behaviour, part 4.3."""

from __future__ import annotations

import pytest

from dkimcore.errors import TableError
from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.names import DomainName
from dkimcore.tables import KeyTable

DOMAIN = DomainName.parse("b\u00fccher.example")
BASE64 = "MII" + "A" * 60


def get(value, **options):
    return KeyTable.load(f"csl:k={value}", file="conf", line=1, **options).get("k")


def test_a_row_has_a_domain_a_selector_and_a_key():
    """Part 4.3."""
    row = get("example.com:2026.mail:/etc/dkim/a:b.pem")
    assert (row.name, str(row.domain), str(row.selector)) == ("k", "example.com", "2026.mail")
    assert row.uri_for(DOMAIN) == "file:/etc/dkim/a:b.pem"
    assert (row.file, row.line, row.algorithm, row.inline_key) == ("conf", 1, None, None)


@pytest.mark.parametrize(
    ("key", "uri"),
    [
        ("/etc/%/s1.%.pem", "file:/etc/xn--bcher-kva.example/s1.xn--bcher-kva.example.pem"),
        ("./%.pem", "file:./%.pem"),
        ("../%.pem", "file:../%.pem"),
        ("file:/etc/%.pem", "file:/etc/xn--bcher-kva.example.pem"),
        ("file:%.pem", "file:%.pem"),
        ("pkcs11:object=a%20b?module-path=/x", "pkcs11:object=a%20b?module-path=/x"),
        ("vault:transit/mail?version=3", "vault:transit/mail?version=3"),
        ("awskms:arn:aws:kms:eu-west-1:1:key/2", "awskms:arn:aws:kms:eu-west-1:1:key/2"),
    ],
)
def test_a_per_cent_sign_is_the_domain_in_absolute_paths_only(key, uri):
    """Part 4.3; elsewhere "%" belongs to the URI."""
    row = get(f"%:s1:{key}")
    assert row.domain is None
    assert row.uri_for(DOMAIN) == uri


def test_relative_paths_count_from_the_base(tmp_path):
    """Part 4.3; "%" is still not replaced in them."""
    row = get("%:s1:./%.pem", base=tmp_path)
    assert row.uri_for(DOMAIN) == f"file:{tmp_path}/./%.pem"
    row = get("%:s1:file:keys/%.pem?check=full", base=tmp_path)
    assert row.uri_for(DOMAIN) == f"file:{tmp_path}/keys/%.pem?check=full"
    assert get("%:s1:file:~/k.pem", base=tmp_path).key_uri == "file:~/k.pem"
    assert get("%:s1:file:/k.pem", base=tmp_path).key_uri == "file:/k.pem"


@pytest.mark.parametrize(
    ("key", "uri", "algorithm"),
    [
        ("/k.pem:ed25519-sha256", "file:/k.pem", Algorithm.ED25519_SHA256),
        ("/a:b:rsa-sha256", "file:/a:b", Algorithm.RSA_SHA256),
        ("vault:transit/k:rsa-sha256", "vault:transit/k", Algorithm.RSA_SHA256),
        ("/k.pem:rsa", "file:/k.pem:rsa", None),
        ("file:/k:rsa-sha256?check=quick", "file:/k:rsa-sha256?check=quick", None),
    ],
)
def test_a_fourth_field_is_an_algorithm_only_by_its_exact_name(key, uri, algorithm):
    """Part 9: a path that contains ":" is legal."""
    row = get(f"example.com:s1:{key}")
    assert (row.uri_for(DOMAIN), row.algorithm) == (uri, algorithm)


@pytest.mark.parametrize(
    "key",
    [
        BASE64,
        "MC4CAQAwBQYDK2VwBCIEI" + "A" * 43,
        f"-----BEGIN RSA PRIVATE KEY-----{BASE64}-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY----- {BASE64[:30]} {BASE64[30:]} -----END PRIVATE KEY-----",
    ],
)
def test_a_key_may_stand_in_its_row_and_is_never_shown(key):
    """Part 4.3; beyond it Ed25519 keys, and PEM on one line."""
    row = get(f"example.com:s1:{key}")
    text = row.inline_key.decode()
    assert text in "".join(key.split())
    assert row.key_uri.startswith("inline:k/")
    assert text not in repr(row) + row.uri_for(DOMAIN)


def test_another_key_in_an_old_row_has_another_uri():
    one, two = (get(f"example.com:s1:{BASE64}{end}") for end in ("AAAA", "BBBB"))
    assert one.key_uri != two.key_uri


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "it should be DOMAIN:SELECTOR:KEY"),
        ("example.com:s1", "it should be DOMAIN:SELECTOR:KEY"),
        ("example.com:s1:", "it should be DOMAIN:SELECTOR:KEY"),
        ("a%.com:s1:/k", "its domain name is none"),
        ("%:%:/k", "its selector is none"),
        ("example.com:s1:s1.pem", "no path .*write /path or ./path"),
        ("example.com:s1:/k:rsa-sha1", "must not be used to sign"),
    ],
)
def test_a_malformed_row_is_named_when_it_is_used(value, why):
    """Part 4.3: "KeyTable entry for 'K' corrupt"."""
    with pytest.raises(TableError, match=f"KeyTable entry for 'k' corrupt: .*{why}") as info:
        get(value)
    assert (info.value.file, info.value.line) == ("conf", 1)


def test_fields_that_are_mixed_up_show_no_key():
    with pytest.raises(TableError) as info:
        get(f"{BASE64}:s1:example.com")
    assert BASE64 not in str(info.value) + repr(info.value)


def test_names_compare_with_their_case_and_unknown_ones_are_refused(tmp_path):
    """Parts 3.2 and 4.1."""
    (tmp_path / "t").write_text("k a.com:s:/k\nK b.com:s:/k\nbad x\nk c.com:s:/k\n")
    table = KeyTable.load("file:t", base=tmp_path)
    assert [str(table.get(name).domain) for name in "kK"] == ["a.com", "b.com"]
    assert table.has("bad")
    assert not table.has("BAD")
    with pytest.raises(TableError, match="no row defines the key 'x'; add one"):
        table.get("x")
    assert [row.name for row in table.rows()] == ["k", "K", "k"]
    assert [(finding.line, finding.is_error) for finding in table.check()] == [
        *((3, True), (4, False))
    ]
    assert len(table) == 4


def test_a_check_finds_a_table_without_rows(tmp_path):
    (tmp_path / "t").write_text("# none\n")
    (finding,) = KeyTable.load("file:t", base=tmp_path).check()
    assert finding.file == f"{tmp_path}/t"
    assert "has no row, so nothing is signed; write 'NAME example.com:" in finding.problem


def test_a_refile_gives_the_row_of_the_first_pattern(tmp_path):
    """Part 3.3: a refile can be asked for values."""
    (tmp_path / "t").write_text("s1.* %:s1:/k/%\n* %:s2:/k/%\n")
    table = KeyTable.load("refile:t", base=tmp_path)
    assert [str(table.get(name).selector) for name in ("s1.x", "S1.x")] == ["s1", "s2"]


def test_a_key_longer_than_1023_octets_fits_in_a_file(tmp_path):
    """Part 3.2: in OpenDKIM it does not."""
    (tmp_path / "t").write_text(f"k example.com:s1:{BASE64 * 30}\n")
    assert len(KeyTable.load("file:t", base=tmp_path).get("k").inline_key) == 63 * 30


def test_rows_whose_keys_are_elsewhere():
    """Neither files nor in the row, and well-formed."""
    rows = {
        "path": "example.com:s:/etc/k",
        "relative": "example.com:s:./k",
        "file": "example.com:s:file:/etc/k",
        "inline": f"example.com:s:{BASE64}",
        "vault": "example.com:s:vault-transit:transit/k?version=1:rsa-sha256",
        "every": "%:s:pkcs11:token=t;object=o",
        "bad": "a..b:s:vault-kv:secret/k",
        "short": "example.com:s",
        "nothing": "",
    }
    table = KeyTable.load("csl:" + ",".join(f"{name}={value}" for name, value in rows.items()))
    assert [row.name for row in table.rows_elsewhere()] == ["vault", "every"]
