"""Domain names, selectors, AUIDs (RFC 6376 sections 2.6 and 3.1, RFC 8616)."""

import pytest

from dkimcore.errors import SettingsError
from dkimcore.protocol.names import Auid, DomainName, Selector, fold_domain

rfc = pytest.mark.rfc
LONG_LABEL = "a" * 63


@rfc("6376", "3.5")
@rfc("5321", "4.1.2")
@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "a.b.c.example",
        "xn--bcher-kva.example",
        "1.2",
        "_dmarc.example.com",
        LONG_LABEL + ".com",
        ".".join([LONG_LABEL] * 3 + ["a" * 61]),
    ],
)
def test_a_domain_name_is_kept_as_written(text):
    """Statement 27."""
    name = DomainName.parse(text)
    assert (str(name), name.text, name.ascii) == (text, text, text)


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "example",
        "example.com.",
        ".example.com",
        "example..com",
        "a" * 64 + ".com",
        ".".join([LONG_LABEL] * 3 + ["a" * 62]),
        "-a.example",
        "a-.example",
        "[192.0.2.1]",
        "a b.example",
        "a@b.example",
        "a/../b.example",
        "a\x00.example",
        "example.com\n",
        "*.example.com",
        "\u00fc" * 300 + ".example",
    ],
)
def test_what_is_no_domain_name_is_refused(text):
    """Statements 27, 29."""
    with pytest.raises(SettingsError, match="is not a domain name"):
        DomainName.parse(text)


@rfc("6376", "3.5")
@rfc("8616", "5")
@pytest.mark.parametrize(
    "text",
    [
        "\u2603.example",  # a snowman is a symbol, which IDNA 2008 does not allow
        "\u200d.example",  # a joiner that joins nothing
        "a\u05d0.example",  # left-to-right and right-to-left in one label
        "\u00fc" * 62 + ".example",  # longer than 63 octets as an A-label
        "\u00fc..example",
        "\u00fc.example.",
        "\udc80.example",
    ],
)
def test_what_idna_does_not_allow_is_refused(text):
    """Statement 132."""
    with pytest.raises(SettingsError, match="is not a domain name"):
        DomainName.parse(text)


@rfc("8616", "5")
@rfc("5890", "2.3.2.1")
@pytest.mark.parametrize(
    ("text", "a_labels"),
    [
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("B\u00dcCHER.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("fa\u00df.de", "xn--fa-hia.de"),
        ("\u4f8b\u3048.\u30c6\u30b9\u30c8", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_u_labels_become_a_labels(text, a_labels):
    """Statements 131, 132, 133: the text itself stays, for it is hashed."""
    name = DomainName.parse(text)
    assert (name.text, name.ascii) == (text, a_labels)
    assert name == DomainName.parse(a_labels)


@rfc("6376", "3.5")
def test_domain_names_compare_without_regard_to_case():
    """Statement 28."""
    upper, lower = DomainName.parse("EXAMPLE.com"), DomainName.parse("example.COM")
    assert upper == lower
    assert hash(upper) == hash(lower)
    assert (upper.ascii, str(upper)) == ("example.com", "EXAMPLE.com")


@rfc("6376", "3.5")
@pytest.mark.parametrize(
    ("child", "within"),
    [
        ("example.com", True),
        ("Mail.EXAMPLE.com", True),
        ("a.b.example.com", True),
        ("badexample.com", False),
        ("example.com.evil", False),
        ("sub.com", False),
    ],
)
def test_a_subdomain_begins_at_a_label(child, within):
    """Statement 36."""
    assert DomainName.parse(child).is_within(DomainName.parse("example.com")) is within


@rfc("8616", "5")
def test_subdomains_are_compared_as_a_labels():
    """Statement 134."""
    child = DomainName.parse("mail.xn--bcher-kva.example")
    assert child.is_within(DomainName.parse("B\u00fccher.example"))


@rfc("6376", "3.1")
@pytest.mark.parametrize("text", ["s1", "2026.mail", "dkim_s1024", "A-b.c"])
def test_a_selector_is_labels(text):
    """Statements 30, 42."""
    assert str(Selector.parse(text)) == text
    assert Selector.parse(text) == Selector.parse(text.upper())


@rfc("8616", "5")
def test_a_selector_may_be_u_labels():
    """Statement 131."""
    assert Selector.parse("sch\u00f6n").ascii == "xn--schn-7qa"


@rfc("6376", "3.1")
@pytest.mark.parametrize("text", ["", ".", "s1.", ".s1", "a..b", "a b", "s\x00", "s/1", "a" * 64])
def test_what_is_no_selector_is_refused(text):
    """Statement 42; the error says what to write."""
    with pytest.raises(SettingsError, match=r"is not a selector.*write labels such as s1"):
        Selector.parse(text)


@rfc("6376", "2.6")
@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("alice@example.com", b"alice", "example.com"),
        ("@example.com", b"", "example.com"),
        ('"a@b"@example.com', b'"a@b"', "example.com"),
        ("\u00fc@b\u00fccher.example", "\u00fc".encode(), "b\u00fccher.example"),
    ],
)
def test_the_domain_of_an_auid_stands_behind_the_last_at(text, local_part, domain):
    """Statements 36, 37."""
    auid = Auid.parse(text)
    assert (auid.local_part, auid.domain.text) == (local_part, domain)
    assert str(auid) == text


@rfc("6376", "3.5")
@pytest.mark.parametrize("text", ["", "alice", "alice@", "alice@example", "alice@example.com."])
def test_what_is_no_auid_is_refused(text):
    """Statement 36."""
    with pytest.raises(SettingsError, match=r"is not an AUID|is not a domain name"):
        Auid.parse(text)


def test_an_auid_of_any_octets_can_be_shown():
    assert str(Auid(b"\xff", DomainName.parse("a.example"))) == "\ufffd@a.example"


@rfc("8616", "5")
@rfc("5890", "2.3.2.1")
def test_names_can_be_written_in_a_labels():
    """Statement 126."""
    domain, selector = DomainName.parse("\u00fc.example"), Selector.parse("\u00fc")
    assert (domain.a_labels.text, selector.a_labels.text) == ("xn--tda.example", "xn--tda")
    assert str(Auid(b"a", domain).a_labels) == "a@xn--tda.example"
    assert (domain.a_labels, selector.a_labels) == (domain, selector)
    for name in (DomainName.parse("A.example"), Selector.parse("S1"), Auid.parse("a@A.example")):
        assert name.a_labels is name


@rfc("8616", "4")
@pytest.mark.parametrize(
    ("text", "u_labels"),
    [
        ("xn--bcher-kva.example", "b\u00fccher.example"),
        ("B\u00dcCHER.example", "b\u00fccher.example"),
        ("Example.COM", "example.com"),
        ("xn--a.example", "xn--a.example"),  # no label decodes to this
    ],
)
def test_u_labels_of_a_name(text, u_labels):
    assert DomainName.parse(text).u_labels == u_labels


@rfc("8616", "4")
@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("a_b.b\u00fccher.example", "a_b.xn--bcher-kva.example"),
        ("ab--c.b\u00fccher.example", "ab--c.xn--bcher-kva.example"),
        ("Mail.stra\u00dfe.example", "mail.xn--strae-oqa.example"),
    ],
)
def test_only_u_labels_are_converted(text, ascii_text):
    assert DomainName.parse(text).ascii == ascii_text


@rfc("8616", "4")
@rfc("5890", "2.3.2.1")
@pytest.mark.parametrize(
    "text",
    [
        "\uff45xample.com",
        "example\u3002com",
        "exa\u00admple.com",
        "\u212a.example",
        "\U0001d41a.com",
    ],
)
def test_what_only_looks_like_a_domain_is_none(text):
    with pytest.raises(SettingsError):
        DomainName.parse(text)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Example.com", "Example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        (".bücher.example", ".xn--bcher-kva.example"),
        ("bü cher", "bü cher"),
    ],
)
def test_domains_of_lists_are_written_in_a_labels(name, folded):
    assert fold_domain(name) == folded
