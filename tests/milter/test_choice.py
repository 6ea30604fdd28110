"""Which signatures a message gets: OpenDKIM's behaviour, parts 4.1 to 4.4 and 5.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkimcore.errors import KeyUriError, SettingsError, TableError
from dkimcore.protocol.mailbox import Mailbox
from dkimcore_milter.engine import Origin
from tests.milter.site import Site

OURS = Origin(allowed=True, reason="a test")
THEIRS = Origin(allowed=False)
TABLES = "KeyTable file:keys\nSigningTable file:signing\n"
ONE_KEY = "KeyFile one.pem\nSelector s1\n"


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def choose(engine, address, origin=OURS):
    return engine.choose(Mailbox.parse(address.encode()), origin)


def names(choice):
    return [(str(each.domain), str(each.selector)) for each in choice.planned]


def test_tables_choose_by_the_author(site):
    site.write("keys", "k example.com:s1:/k.pem\n")
    site.write("signing", "example.com k:news@%\n")
    engine = site.engine(TABLES)
    choice = choose(engine, "a@Example.com")
    assert names(choice) == [("example.com", "s1")]
    assert str(choice.planned[0].auid) == "news@example.com"
    assert choice.domain == "example.com"
    assert choice.findings == ()


def test_tables_say_nothing_about_mail_of_other_origin(site):
    """Part 5.1: with tables the domain is looked at only for allowed origin."""
    site.write("keys", "k example.com:s1:/k.pem\n")
    site.write("signing", "example.com k\n")
    choice = choose(site.engine(TABLES), "a@example.com", THEIRS)
    assert (choice.planned, choice.findings, choice.domain) == ((), (), None)


def test_an_author_without_a_row_is_named_in_the_log(site):
    site.write("keys", "k example.com:s1:/k.pem\n")
    site.write("signing", "example.com k\n")
    choice = choose(site.engine(TABLES), "Ann@sub.example.com")
    assert choice.findings == ("no signing table match for 'Ann@sub.example.com'",)
    assert choice.planned == ()


def test_a_row_that_names_no_key_is_an_error_with_its_line(site):
    site.write("keys", "k example.com:s1:/k.pem\n")
    path = site.write("signing", "# keys\nexample.com gone\n")
    engine = site.engine(TABLES)
    with pytest.raises(TableError, match="signing table references unknown key 'gone'") as caught:
        choose(engine, "a@example.com")
    assert (caught.value.file, caught.value.line) == (str(path), 2)
    assert names(choose(engine, "a@example.net")) == []  # other domains' mail goes on


def test_one_address_with_rsa_and_ed25519(site):
    """One key of the table twice: OpenDKIM sees the first row only."""
    site.write("keys", "r %:rsa:/r.pem\ne %:ed:/e.pem\nn %:new:/n.pem\n")
    site.write("signing", "example.com r\nexample.org e\nEXAMPLE.com e\n* n\n")
    every = site.engine(TABLES + "MultipleSignatures yes")
    assert names(choose(every, "a@example.com")) == [
        ("example.com", "rsa"),
        ("example.com", "ed"),
        ("example.com", "new"),
    ]
    assert names(choose(site.engine(TABLES), "a@example.com")) == [("example.com", "rsa")]


def test_all_matches_are_used_not_only_the_first_and_the_last(site):
    """OpenDKIM's bug 8.2-1."""
    site.write("keys", "".join(f"k{n} %:s{n}:/k.pem\n" for n in range(4)))
    site.write("patterns", "*@example.com k0\n*@*.com k1\na@* k2\n* k3\n")
    engine = site.engine("KeyTable file:keys\nSigningTable refile:patterns\nMultipleSignatures 1")
    assert [name for _, name in names(choose(engine, "a@example.com"))] == ["s0", "s1", "s2", "s3"]


def test_without_keys_nothing_is_signed_and_nothing_said(site):
    for conf in ("", ONE_KEY):
        choice = choose(site.engine(conf), "a@example.com")
        assert (choice.planned, choice.findings, choice.domain) == ((), (), None)


@pytest.mark.parametrize(
    ("domains", "subdomains", "address", "signing", "identity"),
    [
        ("example.com", "no", "a@EXAMPLE.com", "example.com", None),
        ("example.com", "no", "a@mail.example.com", None, None),
        ("example.com", "yes", "a@x.mail.example.com", "example.com", "@example.com"),
        ("example.com,mail.example.com", "1", "a@x.mail.example.com", "mail.example.com", "@mail"),
        (
            ".bücher.example,.example.com",
            "yes",
            "a@mail.example.com",
            None,
            None,
        ),  # never matches there
        ("*", "no", "a@anything.example", "anything.example", None),
        ("example.com", "no", "a@example.com.", None, None),
        ("*,example.com", "yes", "a@x.example.com", "x.example.com", None),
        ("com", "yes", "a@example.com.", None, None),
        (
            "a..bücher,bücher.example",
            "no",
            "a@xn--bcher-kva.example",
            "xn--bcher-kva.example",
            None,
        ),
    ],
)
def test_the_one_key_signs_for_listed_domains(
    site, domains, subdomains, address, signing, identity
):
    """Part 4.4: the author's domain, then ``*``, then with SubDomains each parent."""
    engine = site.engine(f"{ONE_KEY}Domain {domains}\nSubDomains {subdomains}")
    choice = choose(engine, address)
    assert names(choice) == ([] if signing is None else [(signing, "s1")])
    assert choice.domain == signing
    if identity is not None:
        assert str(choice.planned[0].auid).startswith(identity)
    elif signing is not None:
        assert choice.planned[0].auid is None


def test_the_one_key_is_asked_for_mail_of_any_origin(site):
    """So that "external host H attempted to send as D" can be logged."""
    engine = site.engine(f"{ONE_KEY}Domain example.com\nSubDomains yes")
    choice = choose(engine, "a@mail.example.com", THEIRS)
    assert (choice.planned, choice.domain) == ((), "example.com")
    other = choose(engine, "a@example.net", THEIRS)
    assert other.findings == (
        "no signing domain match for 'example.net'",
        "no signing subdomain match for 'example.net'",
    )


@pytest.mark.parametrize("subdomains", ["yes", "no"])
@pytest.mark.parametrize(
    "domain", ["[192.0.2.1]", "localhost", "localhost.", "-a.example", f"{'a.' * 121}example"]
)
def test_everybody_is_not_who_cannot_have_a_signature(site, domain, subdomains):
    engine = site.engine(f"{ONE_KEY}Domain *\nSubDomains {subdomains}")
    choice = choose(engine, f"a@{domain}")
    assert (choice.planned, choice.findings, choice.domain) == ((), (), None)
    assert "cannot be a signing domain" in choice.unfit
    other = choose(engine, f"a@{domain}", THEIRS)
    assert (other.domain, other.unfit) == (domain, None)  # OpenDKIM names it in its log


def test_everybody_with_a_final_dot_has_the_domain_without(site):
    assert names(choose(site.engine(f"{ONE_KEY}Domain *"), "a@b.example.")) == [("b.example", "s1")]


@pytest.mark.parametrize(
    ("conf", "address"),
    [("Domain com\nSubDomains yes", "a@example.com"), ("Domain LocalHost,*", "a@localhost")],
)
def test_a_listed_top_level_domain_cannot_sign(site, conf, address):
    engine = site.engine(f"{ONE_KEY}{conf}")
    with pytest.raises(SettingsError, match=r"opendkim\.conf:3: .*at least two labels"):
        choose(engine, address)


@pytest.mark.parametrize("key", ["%", "all"])
def test_a_row_for_everybody_takes_no_mail_that_nobody_can_sign(site, key):
    site.write("keys", "all %:s1:/k.pem\nfixed example.com:s1:/k.pem\n")
    site.write("signing", f"*@here fixed\n* {key}\n")
    engine = site.engine("KeyTable file:keys\nSigningTable refile:signing\n")
    choice = choose(engine, "root@localhost")
    assert (choice.planned, choice.unfit) == ((), "'localhost' cannot be a signing domain")
    assert names(choose(engine, "root@here")) == [("example.com", "s1")]


def test_wrong_settings_of_the_one_key_name_their_line(site):
    with pytest.raises(SettingsError, match=r"opendkim\.conf:3: '-' is not a selector"):
        site.engine("Domain a.example\nKeyFile k.pem\nSelector -")
    with pytest.raises(KeyUriError, match=r"opendkim\.conf:2: KeyFile: "):
        site.engine("Selector s1\nKeyFile file:?x=y")


def test_the_key_file_counts_from_the_base_directory(site):
    choice = choose(site.engine(f"{ONE_KEY}Domain example.com"), "a@example.com")
    assert choice.planned[0].key_uri == f"file:{site.folder}/one.pem"
    absolute = site.engine("KeyFile /etc/x.pem\nSelector s1\nDomain *")
    assert choose(absolute, "a@b.example").planned[0].key_uri == "file:/etc/x.pem"
    uri = site.engine("KeyFile vault:transit/x?version=1\nSelector s1\nDomain *")
    assert choose(uri, "a@b.example").planned[0].key_uri == "vault:transit/x?version=1"
    home = site.engine("KeyFile ~/x.pem\nSelector s1\nDomain *")
    assert choose(home, "a@b.example").planned[0].key_uri == "file:~/x.pem"


LABEL = st.sampled_from(["a", "b", "example", "com"])
DOMAIN = st.lists(LABEL, min_size=2, max_size=4).map(".".join)


@given(
    listed=st.lists(DOMAIN | st.just("*"), min_size=1, max_size=4, unique=True),
    domain=DOMAIN,
    subdomains=st.booleans(),
)
def test_the_order_of_lookups_is_that_of_a_model(tmp_path_factory, listed, domain, subdomains):
    """Part 4.4 once more, written as it is read."""
    expected = None
    parents = [domain.split(".", count)[count] for count in range(1, domain.count(".") + 1)]
    if domain in listed or "*" in listed:
        expected = domain
    elif subdomains:
        expected = next((parent for parent in parents if parent in listed), None)
    site = Site(tmp_path_factory.mktemp("site"))
    engine = site.engine(
        f"{ONE_KEY}Domain {','.join(listed)}\nSubDomains {'yes' if subdomains else 'no'}"
    )
    assert choose(engine, f"u@{domain}", THEIRS).domain == expected


RESIGN = "ResignMailTo file:resign\n"


def resign(engine, *recipients, author="ann@example.net"):
    return engine.resign(
        [recipient.encode() for recipient in recipients],
        None if author is None else Mailbox.parse(author.encode()),
    )


def test_mail_to_listed_recipients_is_signed_again_with_a_key_of_the_table(site):
    site.write("keys", "k lists.example.com:s1:/k.pem\np %:s2:/p.pem\n")
    site.write("signing", "example.com k\n")
    site.write("resign", "lists.example.com k\n.example.org k\nann@example.com p\nbad\nwrong x\n")
    engine = site.engine(TABLES + RESIGN)
    assert resign(engine, "<bob@example.com>", "<list@x.example.net>") is None
    assert names(resign(engine, "<b@example.com>", "<l@Lists.example.com>")) == [
        ("lists.example.com", "s1")
    ]
    assert names(resign(engine, "<l@deep.sub.example.org>")) == [("lists.example.com", "s1")]
    assert resign(engine, "<l@example.org>") is None
    assert names(resign(engine, "<ann@example.com>")) == [("example.net", "s2")]
    nobody = resign(engine, "<ann@example.com>", author=None)
    assert (nobody.planned, nobody.unfit) == ((), "there is no author whose domain could sign")
    with pytest.raises(TableError, match=r"resign:4: 'bad' names no key"):
        resign(engine, "<bad>")
    with pytest.raises(TableError, match=r"resign:5: .*unknown key 'x'"):
        resign(engine, "<wrong>")


def test_without_tables_the_one_key_signs_again_for_the_first_listed_domain(site):
    site.write("resign", "lists.example.com\n")
    engine = site.engine(f"{ONE_KEY}{RESIGN}Domain *,lists.example.com,example.com")
    choice = resign(engine, "l@lists.example.com")
    assert names(choice) == [("lists.example.com", "s1")]
    everyone = site.engine(f"{ONE_KEY}{RESIGN}Domain *")
    assert names(resign(everyone, "l@lists.example.com")) == [("example.net", "s1")]
    unfit = resign(everyone, "l@lists.example.com", author="a@localhost")
    assert (unfit.planned, unfit.unfit) == ((), "'localhost' cannot be a signing domain")
    assert resign(everyone, "l@lists.example.com", author=None).unfit is not None
    site.write("patterns", "example.*\n")
    patterns = site.engine(f"{ONE_KEY}{RESIGN}Domain refile:patterns")
    assert names(resign(patterns, "l@lists.example.com")) == [("example.net", "s1")]
    none = site.engine(f"{ONE_KEY}{RESIGN}")
    assert names(resign(none, "l@lists.example.com")) == [("example.net", "s1")]
    assert resign(none, "l@lists.example.com", author=None).unfit is not None
    with pytest.raises(TableError, match="ResignMailTo needs a KeyTable, or KeyFile"):
        resign(site.engine(RESIGN), "l@lists.example.com")
