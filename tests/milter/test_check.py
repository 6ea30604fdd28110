"""``-n``: everything that is wrong is found, with its place, its cause and its cure."""

from __future__ import annotations

import os
import pwd
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from dkimcore.settings.model import Settings, Signing, Source
from dkimcore.testing import EphemeralKey
from dkimcore_milter.check import check
from tests.milter.site import SMALL_RSA, Site

CASES = Path(__file__).parents[1] / "cases" / "keys"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
TABLES = "KeyTable file:keys\nSigningTable file:signing\n"
SOCKET = "Socket inet:18891@127.0.0.1\n"
GOOD = EphemeralKey.rsa()


@pytest.fixture
def site():
    """In a folder that everybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.folder.chmod(0o755)
        yield site


def found(site, conf, *, socket=SOCKET):
    return [str(finding) for finding in check(site.settings(f"{conf}\n{socket}"))]


def only(findings, *words):
    """The one finding that has all these words."""
    (finding,) = [each for each in findings if all(word in each for word in words)]
    return finding


def signed(site, keys="k example.com:s1:./k.pem\n", signing="example.com k\n"):
    site.key("k.pem", GOOD)
    site.write("keys", keys)
    site.write("signing", signing)


def test_a_sound_configuration_has_no_findings(site):
    signed(site, "k example.com:s1:./k.pem:rsa-sha256\ne %:s2:./e.pem\np %:s3:/keys/%/s3\n")
    site.key("e.pem")
    assert found(
        site, f"{TABLES}InternalHosts 192.0.2.0/24,::1\nSignatureAlgorithm rsa-sha256"
    ) == [
        f"{site.folder}/opendkim.conf:4: warning: SignatureAlgorithm says rsa-sha256, but the key "
        "'e' makes ed25519-sha256, which is what it signs with; take the option out"
    ]
    assert found(site, TABLES) == []
    one = "KeyFile k.pem\nSelector s1\nDomain example.com"
    assert found(site, one) == []


def test_options_without_effect_are_warnings_with_their_place(site):
    signed(site)
    finding = only(found(site, f"{TABLES}SendReports yes"), "SendReports")
    assert finding.startswith(f"{site.folder}/opendkim.conf:3: warning: SendReports is without")
    (plain,) = check(replace(site.settings(TABLES + SOCKET), notices=("a notice",)))
    assert str(plain) == "warning: a notice"


def test_one_mistake_does_not_hide_the_next(site):
    signed(site)
    findings = found(
        site,
        f"{TABLES}PeerList file:none\nMTA refile:none\nDefaultSender x\nOmitHeaders From\n"
        "ReplaceRules none\nTestPublicKeys none\nMacroList file:none\nExemptDomains nosuch:x\n",
    )
    for line in (3, 4, 9):
        only(findings, f"opendkim.conf:{line}: error: the data set", "none cannot be read")
    for line, word in (
        *((5, "DefaultSender"), (6, "OmitHeaders"), (7, "ReplaceRules")),
        *((10, "'nosuch' is not a type"),),
    ):
        only(findings, f"opendkim.conf:{line}: error: ", word)
    only(findings, "opendkim.conf:8: error: TestPublicKeys: ", "none cannot be read")


def test_rows_of_the_tables_are_all_looked_at(site):
    signed(
        site,
        "k example.com:s1:./k.pem\nbad example.com\nk other.example:s:./k.pem\n",
        "example.com k\nexample.org gone\n@x k\nempty\nexample.com k\n",
    )
    findings = found(site, TABLES)
    only(findings, "keys:2: error: KeyTable entry for 'bad' corrupt")
    only(findings, "keys:3: warning: 'k' stands in line 1 already")
    only(findings, "signing:2: error: ", "unknown key 'gone'")
    only(findings, "signing:4: error: 'empty' names no key")
    only(findings, "signing:5: warning: 'example.com' stands in line 1 already")
    many = found(site, f"{TABLES}MultipleSignatures yes")
    only(many, "signing:5: warning: 'example.com' stands in line 1 with the same value")


def test_tables_that_cannot_be_read_are_named_with_the_option(site):
    findings = found(site, TABLES)
    only(findings, "opendkim.conf:1: error: the data set", "keys cannot be read")
    only(findings, "opendkim.conf:2: error: the data set", "signing cannot be read")


def test_every_key_is_opened(site):
    rows = {
        "gone": "./gone.pem",
        "public": "./public.pem",
        "open": "./open.pem",
        "other": "./k.pem:ed25519-sha256",
        "scheme": "nosuch:x",
        "option": "file:./k.pem?x=y",
        "inline": "".join((CASES / "rsa512.pem").read_text().splitlines()[1:-1]),
        "domain": "/etc/%/none.pem",
        "remote": "vault:transit/x?token=y",
    }
    signed(site, "".join(f"{name} example.com:s1:{key}\n" for name, key in rows.items()))
    site.write("public.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    site.key("open.pem", mode=0o644)
    findings = found(site, TABLES)
    only(findings, "keys:1: error: the key 'gone': ", "gone.pem does not exist; make a key")
    only(findings, "keys:2: error: the key 'public': this is no private key but something else")
    only(findings, "keys:3: error: the key 'open': ", "can be read or written by every user")
    only(findings, "keys:4: error: the row of key 'other' says ed25519-sha256")
    only(findings, "keys:5: error: the key 'scheme': ", "nosuch")
    only(findings, "keys:6: error: the key 'option': file: has no option 'x'")
    only(findings, "keys:7: error: the key 'inline': an RSA key of 512 bits must not sign")
    only(findings, "keys:8: error: the key 'domain': ", "/etc/example.com does not exist")
    only(findings, "keys:9: error: the key 'remote': ", "holds no secrets")
    assert not any("example.com:s1" in finding for finding in findings)


def test_the_numbers_of_rsa_keys_are_checked_in_full(site):
    """What signing with a key would not show."""
    key = (CASES / "rsae3.pem").read_text()
    signed(site, "k example.com:s1:./k.pem\n")
    site.write("k.pem", key)
    assert found(site, TABLES) == []


def test_weak_keys_are_told(site):
    signed(site)
    site.key("k.pem", SMALL_RSA)
    only(found(site, TABLES), "keys:1: warning: the key 'k' has 1024 bits; RFC 8301")
    only(
        found(site, f"{TABLES}MinimumKeyBits 2048"),
        "keys:1: error: the key 'k': private key too small (1024 bits, need at least 2048)",
    )


def test_unsafe_keys_are_a_warning_where_they_are_used_all_the_same(site):
    signed(site)
    (site.folder / "k.pem").chmod(0o644)
    finding = only(found(site, f"{TABLES}RequireSafeKeys no"), "k.pem")
    assert "warning: the key 'k' is used because of RequireSafeKeys no: " in finding
    site.write("keys", "k example.com:s1:file:./k.pem?permissions=ignore\n")
    assert found(site, TABLES) == []


def test_a_name_too_long_for_the_dns_is_found(site):
    signed(site, f"k example.com:{'.'.join(['s' * 60] * 4)}:./k.pem\n")
    only(found(site, TABLES), "keys:1: error: the key 'k': the name ", "longer than the DNS")


def test_the_one_key_is_checked_too(site):
    findings = found(site, "Selector s1\nKeyFile gone.pem\nDomain example.com,.example.org")
    only(findings, "opendkim.conf:2: error: KeyFile: ", "gone.pem does not exist")
    only(findings, "opendkim.conf:3: warning: '.example.org' never matches")
    site.key("k.pem")
    only(
        found(site, "Selector s1\nKeyFile k.pem"),
        "opendkim.conf:2: warning: KeyFile is not used, for there is no Domain",
    )
    only(found(site, "Selector -\nKeyFile k.pem\nDomain *"), ":1: error: '-' is not a selector")


def test_a_listed_domain_that_cannot_sign_is_found(site):
    site.key("k.pem")
    one = "Selector s1\nKeyFile k.pem\nDomain "
    findings = found(site, f"{one}localhost,example.com")
    only(findings, "opendkim.conf:3: error: Domain: 'localhost' is not a domain name: ", "labels")
    site.write("domains", "*\n*.example.com\nexample.org\nb\u00fccher.example\n")
    assert [one.problem for one in found(site, f"{one}file:domains\nSubDomains yes")] == []
    site.write("domains", "(a|b).example\n")
    assert [one.problem for one in found(site, f"{one}refile:domains")] == []


def test_who_signs_without_keys_is_told(site):
    only(found(site, "Mode sv"), "opendkim.conf:1: warning: nothing is signed")
    assert found(site, "Mode v") == []


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ("SignHeaders From,X-*", "warning: 'X-*' names no field"),
        ("OverSignHeaders From,From", "warning: 'From' stands in line 1 already"),
        ("TrustSignaturesFrom .example.com", "warning: '.example.com' never matches"),
        ("InternalHosts 10/8", "warning: '10/8' is taken for 10.0.0.0/8"),
        ("InternalHosts 0.0.0.0/0", "warning: '0.0.0.0/0' makes every host internal"),
        ("PeerList *.example.com", "warning: '*.example.com' never matches; write .example.com"),
    ],
)
def test_entries_that_are_probably_not_meant(site, conf, words):
    only(found(site, f"{conf}\nMode v"), f"opendkim.conf:1: {words}")


def test_lists_and_tables_that_match_nobody(site):
    signed(site, "# none\n", "*@example.com: k\n*@%  k\n")
    site.write("hosts", "127.0.0.1\n192.168.0.1/24\n192.168.0.0/33\n")
    findings = found(site, f"{TABLES}InternalHosts refile:hosts".replace("e file:s", "e refile:s"))
    only(findings, "keys: warning: the key table has no row, so nothing is signed; write 'NAME ")
    only(findings, "signing:1: error: the signing table references unknown key 'k'")
    only(findings, "hosts:2: warning: '192.168.0.1/24' is taken for 192.168.0.0/24, which ")
    only(findings, "hosts:3: warning: '192.168.0.0/33' never matches; write ")
    site.write("keys", "k example.com:s1:./k.pem\n")
    findings = found(site, TABLES.replace("e file:s", "e refile:s"))
    only(findings, "signing:1: warning: '*@example.com:' never matches, for no domain has a ':'")
    only(findings, "signing:2: warning: '*@%' never matches, for no domain has a '%'; write ")
    for name in ("signing", "hosts", "domains"):
        site.write(name, "# none\n")
    findings = found(site, f"{TABLES}InternalHosts file:hosts")
    only(findings, "signing: warning: the signing table has no row, so nothing is signed; write '")
    only(findings, "opendkim.conf:3: warning: InternalHosts file:hosts has no row, so only mail ")
    conf = "Selector s1\nKeyFile k.pem\nDomain file:domains"
    only(found(site, conf), "opendkim.conf:3: warning: Domain file:domains has no row, so nothing")


def test_rows_that_mean_several_things_may_be_repeated(site):
    site.write("records", "a.example one\na.example two\n")
    conf = "TestDNSData file:records\nMacroList m=1,m=2\nMode v"
    assert found(site, conf) == []


# What the filter needs to run


@pytest.mark.parametrize(
    ("socket", "words"),
    [
        ("Socket inet:x@localhost", 'error: Socket "inet:x@localhost": '),
        ("Socket inet:8891@nosuch.invalid", "error: the socket inet:8891@nosuch.invalid: no IPv4"),
        ("", "warning: there is no Socket: add Socket local:/path or inet:8891@localhost"),
    ],
)
def test_a_socket_that_cannot_be_is_found(site, socket, words):
    only(found(site, "Mode v", socket=socket), words)


def test_the_file_of_a_unix_socket(site):
    path = site.folder / "gone" / "socket"
    conf = f"UMask 007\nMode v\nSocket local:{path}"
    only(found(site, conf, socket=""), f"error: Socket local:{path}: ", "No such file")
    plain = site.write("plain", "x")
    conf = f"UMask 007\nMode v\nSocket {plain}"
    only(found(site, conf, socket=""), "there is something that is no socket; move it away")
    conf = "UMask 007\nMode v\nSocket local:/run/nosuch-dkimcore/socket"
    only(found(site, conf, socket=""), "warning: ", "systemd's RuntimeDirectory=")
    conf = f"UMask 007\nMode v\nSocket local:{site.folder}/socket"
    assert found(site, conf, socket="") == []
    inside = "UMask 007\nMode v\nSocket local:socket"
    assert found(site, inside, socket="") == []


def test_a_umask_by_which_postfix_cannot_connect_or_everybody_can(site):
    socket = f"Mode v\nSocket local:{site.folder}/socket\n"
    only(found(site, socket, socket=""), "warning: without UMask only the user ", "UMask 007")
    only(found(site, f"{socket}UMask 022", socket=""), ":3: warning: UMask 022: as a rule only")
    only(found(site, f"{socket}UMask 0", socket=""), ":3: warning: UMask 000 lets every user")


def test_a_tcp_socket_on_all_addresses_lets_everybody_have_mail_signed(site):
    site.key("k")
    signs = "Domain example.com\nSelector s\nKeyFile k\nUMask 007"
    told = "warning: Socket inet:8891 lets everybody who reaches this host have mail signed; write"
    only(found(site, signs, socket="Socket inet:8891"), told)
    assert found(site, signs, socket="Socket inet:8891@0.0.0.0") == []  # that is meant
    assert found(site, "Mode v", socket="Socket inet:8891") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("inet:x@localhost", ':2: error: DkimcoreMetrics "inet:x@localhost": '),
        ("inet:9115@nosuch.invalid", ":2: error: the socket inet:9115@nosuch.invalid: no IPv4"),
        (
            "inet:9115",
            ":2: warning: DkimcoreMetrics inet:9115 lets everybody who reaches this host",
        ),
        ("local:/gone/metrics", ":2: warning: DkimcoreMetrics local:/gone/metrics: "),
    ],
)
def test_where_metrics_cannot_or_should_not_be_served(site, value, words):
    only(found(site, f"Mode v\nDkimcoreMetrics {value}"), words)
    assert found(site, "Mode v\nDkimcoreMetrics inet:9115@127.0.0.1") == []
    assert found(site, "Mode v\nDkimcoreMetrics local:metrics") == []
    own = f"DkimcoreMetrics {SOCKET.split()[1]}"
    only(found(site, f"Mode v\n{own}"), f":2: error: {own} is the milter's own Socket")


def test_directories_and_the_pid_file(site):
    conf = f"Mode v\nPidFile {site.folder}\nDiagnosticDirectory {site.folder}/none"
    findings = found(site, conf)
    only(findings, f":2: warning: PidFile {site.folder} is a directory; name a file in it")
    only(findings, ":3: error: DiagnosticDirectory: ", "none: No such file")
    only(
        found(site, f"Mode v\nPidFile {site.folder}/none/pid"),
        f":2: warning: PidFile {site.folder}/none/pid: {site.folder}/none is no directory",
    )
    assert found(site, f"Mode v\nPidFile {site.folder}/pid") == []
    bare = replace(site.settings("Mode v\n" + SOCKET).process, base_directory="/nosuch/dir")
    settings = replace(site.settings("Mode v\n" + SOCKET), process=bare)
    only(map(str, check(settings)), "error: BaseDirectory /nosuch/dir is no directory; make it")


def test_a_user_that_is_not_there_is_found(site):
    only(found(site, "Mode v\nUserID nosuch"), ':2: error: UserID "nosuch": there is no user')


@ROOT
def test_what_the_user_of_userid_cannot_read(site):
    """Root could; the filter that has become that user cannot."""
    nobody = pwd.getpwnam("nobody")
    signed(site)
    site.write("hosts", "127.0.0.1\n")
    conf = f"{TABLES}InternalHosts file:hosts\nUserID nobody"
    findings = found(site, conf)
    key = site.folder / "k.pem"
    only(findings, f"keys:1: error: the key 'k': the user nobody may not read {key} (mode 0600")
    only(findings, "opendkim.conf: warning: a reload would fail: the user nobody may not read")
    only(findings, ":3: warning: a reload would fail: ", "hosts")
    for name in ("keys", "signing", "hosts", "opendkim.conf"):
        (site.folder / name).chmod(0o644)
    os.chown(key, nobody.pw_uid, -1)
    site.write("opendkim.conf", "")
    (site.folder / "opendkim.conf").chmod(0o644)
    findings = found(site, conf)
    assert [finding for finding in findings if "opendkim.conf: " not in finding] == []


@ROOT
def test_a_reload_reads_files_of_rules_and_records_too(site):
    site.write("rules", "a\tb\n")
    site.write("records", "a.example x\n")
    conf = "Mode v\nReplaceRules rules\nTestPublicKeys records\nPeerList nosuch:x\nUserID nobody"
    findings = found(site, conf)
    for line, name in ((2, "rules"), (3, "records")):
        only(findings, f":{line}: warning: a reload would fail: the user nobody", name)


@ROOT
def test_a_key_that_a_third_user_owns_is_not_safe_for_the_user_of_userid(site):
    signed(site)
    os.chown(site.folder / "k.pem", pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("nobody").pw_gid)
    (site.folder / "k.pem").chmod(0o640)
    only(found(site, f"{TABLES}UserID nobody"), "belongs to neither root nor the user nobody")


@ROOT
def test_the_one_key_of_a_third_user_is_an_error_too(site):
    site.key("k.pem")
    os.chown(site.folder / "k.pem", pwd.getpwnam("daemon").pw_uid, -1)
    conf = "Selector s1\nKeyFile k.pem\nDomain example.com\nUserID nobody"
    only(
        found(site, conf),
        *(":2: error: KeyFile: ", "(mode 0600, daemon:root) belongs to neither root nor the user"),
        *("nobody, so its owner can change it; run: chown nobody ",),
    )
    only(found(site, f"{conf}\nRequireSafeKeys no"), ":2: warning: KeyFile is used because of")


@ROOT
def test_the_one_key_may_be_readable_at_the_start_only(site):
    site.key("k.pem")
    conf = "Selector s1\nKeyFile k.pem\nDomain example.com\nUserID nobody"
    only(found(site, conf), ":2: warning: KeyFile can be read at the start but not at a reload")


@ROOT
def test_a_low_port_and_a_closed_directory_are_no_places_for_that_user(site):
    conf = "Mode v\nUserID nobody\nUMask 007\n"
    only(
        found(site, conf, socket="Socket inet:25@127.0.0.1"),
        "error: Socket inet:25@127.0.0.1: the user nobody cannot open a port below 1024",
    )
    only(
        found(site, conf, socket=f"Socket local:{site.folder}/socket"),
        f"the user nobody may not make files in {site.folder} (mode 0755",
    )


@ROOT
def test_keys_of_tables_are_looked_for_below_the_new_root(site):
    signed(site, "k example.com:s1:/etc/k.pem\nr example.com:s2:./k.pem\n")
    site.key("root/etc/k.pem", GOOD)
    conf = f"{TABLES}ChangeRootDirectory {site.folder}/root"
    findings = found(site, conf)
    assert not [finding for finding in findings if "the key 'k'" in finding]
    only(findings, "keys:2: error: the key 'r': ", f"{site.folder}/root/", "does not exist")
    conf = f"Mode v\nUMask 007\nChangeRootDirectory {site.folder}/root\nPidFile /pid"
    only(
        found(site, conf, socket="Socket local:/none/socket"),
        f"error: Socket local:/none/socket: {site.folder}/root/none: No such file",
    )
    only(found(site, "ChangeRootDirectory /nosuch\nMode v"), "/nosuch is no directory; make it")


def test_settings_without_a_file_are_checked_as_well():
    settings = Settings(signing=Signing(sign_headers=Source("refile:/none")))
    assert any("/none cannot be read" in finding.problem for finding in check(settings))
