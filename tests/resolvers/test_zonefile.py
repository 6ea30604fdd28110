"""TXT records from files: as opendkim-genkey and zone files have them, errors with their line."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import ConfigError
from dkimcore.resolvers.zonefile import read_records
from tests.servers import find_program
from tests.servers.nsd import txt_rdata, zone_text

GENKEY = """\
s1._domainkey\tIN\tTXT\t( "v=DKIM1; h=sha256; k=rsa; "
\t  "p=MIIB"
\t  "IjAN" )  ; ----- DKIM key s1 for example.com
"""


@pytest.fixture
def read(tmp_path):
    def from_text(text, **options):
        path = tmp_path / "records.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_records(path, **options)

    return from_text


def test_lines_of_a_name_and_a_record(read):
    text = (
        "# keys\n\ns1._domainkey.Example.com   v=DKIM1; k=rsa; p=AB (C)\r\n"
        "s1._domainkey.example.com\tx"
    )
    assert read(text) == {"s1._domainkey.example.com.": (b"v=DKIM1; k=rsa; p=AB (C)", b"x")}


def test_octets_of_a_record_stay(read):
    assert read(b"a.example \xc3\xbc\xff") == {"a.example.": (b"\xc3\xbc\xff",)}


@pytest.mark.rfc("6376", "3.6.2.2")
def test_what_opendkim_genkey_writes(read):
    record = b"v=DKIM1; h=sha256; k=rsa; p=MIIBIjAN"
    assert read(GENKEY) == {"s1._domainkey.example.com.": (record,)}
    assert read(GENKEY, origin="example.org") == {"s1._domainkey.example.org.": (record,)}


@pytest.mark.server("opendkim-genkey")
@pytest.mark.parametrize("options", [(), ("--append-domain",)])
def test_what_the_real_opendkim_genkey_writes(tmp_path, options):
    program = find_program("opendkim-genkey")
    command = [program, *options, "-s", "s1", "-d", "example.com", "-D", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    ((name, (record,)),) = read_records(tmp_path / "s1.txt").items()
    assert name == "s1._domainkey.example.com."
    assert record.startswith(b"v=DKIM1; h=sha256; k=rsa; p=MII")
    assert b" " not in record.partition(b"p=")[2]


@pytest.mark.rfc("1035", "5.1")
def test_a_whole_zone(read):
    zone = r"""
$TTL 1h
$ORIGIN example.com.
@       IN SOA ns hostmaster ( 1 2 3 ; comment (
                               4 5 )
        IN NS  ns
        TXT    "v=spf1 -all"          ; the name of the line before
k1._domainkey 60 IN TXT v=DKIM1\; "p=\"\\\065\010"
k1._domainkey IN 60 TXT second
alias   CNAME  k1._domainkey
$ORIGIN other.example.
k TXT ( "one"
  "two" )
abs.example. txt plain"""
    assert read(zone) == {
        "example.com.": (b"v=spf1 -all",),
        "k1._domainkey.example.com.": (b'v=DKIM1;p="\\A\n', b"second"),
        "k.other.example.": (b"onetwo",),
        "abs.example.": (b"plain",),
    }


def test_without_an_origin_names_are_absolute(read):
    assert read('a.example TXT "x"\n') == {"a.example.": (b"x",)}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a.example x\nb.example\n", 2, "a name without a record"),
        ("a.example x\na..b y\n", 2, "is not a DNS name"),
        ("\xfc.example y\n", 1, "is not a DNS name"),
        ('a TXT "x"\nb TXT\n', 2, "TXT without a string"),
        ('a TXT "x"\n\nb TXT ( "y"\n', 3, r"a '\(' that is not closed"),
        ('a TXT "x"\nb TXT "y\n', 2, "a quote that is not closed"),
        (f'a TXT "{"x" * 256}"\n', 1, "over 255 octets"),
        (' TXT "x"\n', 1, "the first record has no name"),
        ("# nothing\n", None, "holds no TXT record"),
        ("", None, "holds no TXT record"),
    ],
)
def test_errors_name_file_and_line(read, tmp_path, text, line, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        read(text)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "records.txt"), line)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"none: cannot be read \(No such file or directory\)"):
        read_records(tmp_path / "none")


@given(st.binary())
def test_any_octets_are_records_or_an_error(tmp_path_factory, octets):
    path = tmp_path_factory.mktemp("zone") / "file"
    for content in (octets, b"a TXT x\n" + octets):
        path.write_bytes(content)
        with contextlib.suppress(ConfigError):
            assert read_records(path)


@given(st.binary(max_size=600))
def test_a_printed_zone_is_read_back(tmp_path_factory, record):
    path = tmp_path_factory.mktemp("zone") / "file"
    path.write_text(zone_text({"k.example": [record]}, {"c.example": "k.example"}))
    assert read_records(path) == {"k.example.": (record,)}, txt_rdata(record)
