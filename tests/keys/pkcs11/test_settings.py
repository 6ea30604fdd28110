"""What a URI and its section say together."""

from __future__ import annotations

import pytest

from dkimcore.errors import ConfigError, KeyUriError
from dkimcore.keys import KeyContext
from dkimcore.keys.pkcs11.settings import TokenSettings
from dkimcore.keys.sections import Sections
from dkimcore.keys.uri import KeyUri

M = "/usr/lib/module.so"


def read(text, tmp_path=None, toml=None, **context):
    if toml is not None:
        path = tmp_path / "keys.toml"
        path.write_text(toml)
        context["sections"] = Sections.load(path)
    return TokenSettings.of(KeyUri.parse(text), KeyContext(**context))


def test_a_uri_alone_is_enough():
    settings = read(f"pkcs11:token=dkim;object=s1?module-path={M}&pin-source=file:/run/pin")
    assert settings.module == M
    assert settings.address.token == "dkim"
    assert settings.pin.file == "/run/pin"
    assert settings.public_key is None
    assert settings.section.name == "default"


def test_a_section_alone_is_enough(tmp_path):
    toml = f"""
[backend.hsm]
type = "pkcs11"
module = "{M}"
token = "dkim"
pin_file = "secrets/pin"
threads = 3
"""
    settings = read("pkcs11:object=s1", tmp_path, toml)
    assert settings.module == M
    assert settings.address.token == "dkim"
    assert settings.pin.file == str(tmp_path / "secrets/pin")
    assert settings.endpoint.limits.threads == 3
    assert settings.endpoint.name == "pkcs11:hsm"


def test_eight_signatures_are_under_way_unless_somebody_says_otherwise():
    assert read(f"pkcs11:object=s1?module-path={M}").endpoint.limits.threads == 8


def test_a_token_in_the_uri_goes_before_the_sections(tmp_path):
    toml = f'[backend.hsm]\ntype = "pkcs11"\nmodule = "{M}"\ntoken = "dkim"\n'
    assert read("pkcs11:token=other;object=s1", tmp_path, toml).address.token == "other"
    assert read("pkcs11:serial=12;object=s1", tmp_path, toml).address.token is None


def test_a_section_is_chosen_by_name(tmp_path):
    toml = "".join(
        f'[backend.{name}]\ntype = "pkcs11"\nmodule = "/{name}.so"\n' for name in ("one", "two")
    )
    assert read("pkcs11:object=s1?backend=two", tmp_path, toml).module == "/two.so"
    with pytest.raises(KeyUriError, match="backend=one or backend=two"):
        read("pkcs11:object=s1", tmp_path, toml)


@pytest.mark.rfc("7512", "2.4")
@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/run/pin", "/run/pin"),
        ("file:/run/pin", "/run/pin"),
        ("file:///run/pin", "/run/pin"),
        ("FILE://localhost/run/pin", "/run/pin"),
        ("file:/run/a%2520pin", "/run/a pin"),
        ("/run/a%20pin", "/run/a pin"),
    ],
)
def test_a_pin_source_is_a_path_or_a_file_uri(source, path):
    assert read(f"pkcs11:object=s1?module-path={M}&pin-source={source}").pin.file == path


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "no PKCS #11 module is named"),
        ("module-path=module.so", "module-path is a whole path"),
        (f"module-path={M}&module-name=softhsm2", "write the path: module-path="),
        (f"module-path={M}&pin-value=1234", "holds no secrets"),
        (f"module-path={M}&module-path={M}", "stands twice"),
        (f"module-path={M}&x-vendor=1", "has no option 'x-vendor'"),
        (f"module-path={M}&pin-source=pin", "pin-source names a file of this host"),
        (f"module-path={M}&pin-source=|/usr/bin/ask", "pin-source names a file of this host"),
        (f"module-path={M}&pin-source=https://h/pin", "pin-source names a file of this host"),
        (f"module-path={M}&pin-source=file://host/pin", "pin-source names a file of this host"),
        (f"module-path={M}&public-key=s1.pem", "public-key names a file of this host"),
        (f"module-path={M}&backend=no", r"there is no section \[backend.no\]"),
    ],
)
def test_what_is_wrong_in_a_query_is_refused_with_the_reason(query, words):
    with pytest.raises(KeyUriError, match=words) as caught:
        read("pkcs11:object=s1" + (f"?{query}" if query else ""))
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "query", "words"),
    [
        ('module = "module.so"', "", "keys.toml:3: backend hsm: module: write the whole path"),
        ("module = 7", "", "write a text"),
        ('modul = "/m.so"', "", "pkcs11 has no such key"),
        ('pin = "1234"', "", "pin would be a secret"),
        ('module = "/other.so"', f"?module-path={M}", "take module-path out of the URI"),
        ('module = "/m.so"\npin_file = "/a"\npin_env = "B"', "", "take pin_file or pin_env out"),
        ('module = "/m.so"\npin_file = "/a"', "?pin-source=/b", "take pin-source out"),
        ('module = "/m.so"\npin_env = "B"', "?pin-source=/b", "take pin-source out"),
        ('module = "/m.so"\nthreads = 0', "", "from 1 to 256"),
    ],
)
def test_what_is_wrong_in_a_section_is_refused_with_the_reason(tmp_path, line, query, words):
    toml = f'[backend.hsm]\ntype = "pkcs11"\n{line}\n'
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")) as caught:
        read(f"pkcs11:object=s1{query}", tmp_path, toml).endpoint  # noqa: B018
    assert "1234" not in str(caught.value)


def test_the_same_said_twice_is_no_contradiction(tmp_path):
    toml = f'[backend.hsm]\ntype = "pkcs11"\nmodule = "{M}"\npin_file = "/run/pin"\n'
    settings = read(f"pkcs11:object=s1?module-path={M}&pin-source=/run/pin", tmp_path, toml)
    assert (settings.module, settings.pin.file) == (M, "/run/pin")


def test_keys_of_one_token_share_sessions_and_others_do_not():
    context = KeyContext()

    def pool(path, query=f"module-path={M}"):
        return TokenSettings.of(KeyUri.parse(f"pkcs11:{path}?{query}"), context).pool

    assert pool("token=a;object=s1") is pool("token=a;object=s2;id=%01")
    assert pool("token=a;object=s1") is not pool("token=b;object=s1")
    assert pool("token=a;object=s1") is not pool("token=a;object=s1", "module-path=/other.so")
    assert pool("token=a") is not pool("token=a", f"module-path={M}&pin-source=/run/pin")
