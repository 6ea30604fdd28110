"""Whose mail is signed: OpenDKIM's behaviour, parts 5.1, 5.3 and 5.4, and what part 9 mends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import TableError
from dkimcore_milter.origin import macro_name
from dkimcore_milter.peer import Peer
from tests.milter.site import CLIENT, Site, macros, nobody


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_by_default_only_this_host_is_internal(site):
    """Part 5.3: InternalHosts 127.0.0.1,::1."""
    engine = site.engine("")
    for address in ("127.0.0.1", "::1"):
        assert engine.origin(Peer(host="localhost", address=address), nobody).allowed
    refused = engine.origin(CLIENT, nobody)
    assert not refused.allowed
    assert refused.reason == ""
    assert refused.findings == (
        "client.example.net [198.51.100.7] not internal",
        "not authenticated",
    )


def test_a_client_without_an_address_is_in_no_set(site):
    """OpenDKIM takes it for 127.0.0.1 (part 8.1 number 4)."""
    origin = site.engine("").origin(Peer(host=None, address=None), nobody)
    assert not origin.allowed
    assert origin.findings[0] == "unknown [unknown] not internal"


def test_the_reason_names_the_row_of_the_internal_host(site):
    hosts = site.write("hosts", "# ours\n.example.net\n198.51.100.0/24\n")
    engine = site.engine("InternalHosts file:hosts")
    assert engine.origin(CLIENT, nobody).reason == (f"198.51.100.7 is in InternalHosts ({hosts}:2)")
    unnamed = Peer(host="[198.51.100.9]", address="198.51.100.9")
    assert engine.origin(unnamed, nobody).reason.endswith(f"({hosts}:3)")
    assert not engine.origin(Peer(host="localhost", address="127.0.0.1"), nobody).allowed


def test_a_client_that_authenticated_is_allowed(site):
    origin = site.engine("").origin(CLIENT, macros(auth_type="PLAIN"))
    assert origin.allowed
    assert origin.reason == "the client authenticated ({auth_type} is PLAIN)"
    assert origin.findings == ()


@pytest.mark.parametrize("values", [{"auth_type": ""}, {"auth_authen": "bob"}])
def test_an_empty_auth_type_or_a_mere_name_is_not_enough(site, values):
    assert not site.engine("").origin(CLIENT, macros(**values)).allowed


def test_the_name_of_the_mta_compares_with_its_case(site):
    engine = site.engine("MTA MSA,submission")
    allowed = engine.origin(CLIENT, macros(daemon_name="MSA"))
    assert allowed.reason == f"the MTA is MSA, which is in MTA ({site.folder}/opendkim.conf:1)"
    refused = engine.origin(CLIENT, macros(daemon_name="msa", j="mx.example.com"))
    assert refused.findings == (
        "no MTA name match (host=mx.example.com, MTA=msa)",
        "client.example.net [198.51.100.7] not internal",
        "not authenticated",
    )
    assert engine.origin(CLIENT, nobody).findings[0] == "no MTA name match (host=?, MTA=?)"


def test_no_finding_is_left_where_a_later_rule_allows(site):
    engine = site.engine("MTA MSA\nMacroList m")
    assert engine.origin(Peer(host="localhost", address="127.0.0.1"), nobody).findings == ()


@pytest.mark.parametrize(
    ("conf", "values", "allowed"),
    [
        ("MacroList mark", {"mark": ""}, True),
        ("MacroList mark", {}, False),
        ("MacroList mark=a|b", {"mark": "b"}, True),
        ("MacroList mark=a|b", {"mark": "abc"}, False),
        ("MacroList mark=a|b", {"mark": "a|b"}, False),
        ("MacroList mark=A", {"mark": "a"}, False),
        ("MacroList {mark}=a", {"mark": "a"}, True),
        ("MacroList v=a", {"v": "a"}, True),  # macros of one letter have no braces
        # A macro with a wrong value does not undo a match (OpenDKIM's bug 8.2-12).
        ("MacroList one=a,two=b", {"one": "a", "two": "x"}, True),
        ("MacroList one=a,one=b", {"one": "b"}, True),
    ],
)
def test_a_listed_macro_marks_mail_to_be_signed(site, conf, values, allowed):
    origin = site.engine(conf).origin(CLIENT, macros(**values))
    assert origin.allowed is allowed
    assert ("no macros match" in origin.findings) is not allowed


def test_the_reason_names_the_macro_and_its_row(site):
    path = site.write("macros", "other x\nmark a|b\nbare\n")
    engine = site.engine("MacroList file:macros")
    assert engine.origin(CLIENT, macros(mark="b")).reason == (
        f"the macro {{mark}} is b, as in MacroList ({path}:2)"
    )
    assert engine.origin(CLIENT, macros(bare="1")).reason == (
        f"the macro {{bare}} is defined, as in MacroList ({path}:3)"
    )


def test_a_list_of_macros_cannot_be_patterns(site):
    site.write("macros", "m*\n")
    with pytest.raises(TableError, match="a list of names is wanted"):
        site.engine("MacroList refile:macros")


def test_macros_are_asked_for_only_where_some_are_listed(site):
    """Part 5.5, without its repeated names."""
    assert site.engine("").symbols() is None
    assert site.engine("MacroList a_b=1,a_b=2,v").symbols() == "i {daemon_name} {auth_type} {a_b} v"
    assert site.engine("SenderMacro mail_addr").symbols() == (
        "i {daemon_name} {auth_type} {mail_addr}"
    )


def test_peers_and_ignored_hosts_have_their_own_sets(site):
    """Part 5.2."""
    engine = site.engine("PeerList 198.51.100.7\nExternalIgnoreList .example.net")
    other = Peer(host="mx.example.net", address="203.0.113.1")
    assert (engine.is_peer(CLIENT), engine.is_peer(other)) == (True, False)
    assert engine.is_ignored_external(other)
    assert not site.engine("").is_peer(CLIENT)
    assert not site.engine("").is_ignored_external(CLIENT)


def test_what_a_client_calls_itself_cannot_break_a_line(site):
    peer = Peer(host="a\r\nb\x1b[2J.example", address="198.51.100.7")
    assert site.engine("").origin(peer, nobody).findings[0] == (
        "a b?[2J.example [198.51.100.7] not internal"
    )


@given(
    rules=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), max_size=2)),
        min_size=1,
        max_size=4,
    ),
    defined=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
)
def test_one_macro_of_the_list_is_enough(tmp_path_factory, rules, defined):
    """Against a model: any row whose macro is defined and has a listed value, or has none."""
    site = Site(tmp_path_factory.mktemp("site"))
    rows = ",".join(name + (f"={'|'.join(values)}" if values else "") for name, values in rules)
    expected = any(
        name in defined and (not values or defined[name] in values) for name, values in rules
    )
    origin = site.engine(f"MacroList {rows}").origin(CLIENT, macros(**defined))
    assert origin.allowed is expected


@pytest.mark.parametrize(
    ("text", "name"), [("i", "i"), ("{i}", "i"), ("auth_type", "{auth_type}"), (" {x} ", "x")]
)
def test_names_of_macros_are_written_as_mtas_know_them(text, name):
    assert macro_name(text) == name
