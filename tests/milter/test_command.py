"""The command as an operator meets it: modes, exit statuses, one line for each fault."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from dkimcore.errors import ConfigError, KeyUnavailable
from dkimcore.testing import EphemeralKey
from dkimcore.version import __version__
from dkimcore_milter import command, flags, versions
from dkimcore_milter.failure import StartFailure

COMMAND = [sys.executable, "-m", "dkimcore_milter"]
CANARY = "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkCANARYCANARYCANARYCANARYCANARY"


def run(*arguments, **options):
    """Runs the command as a process of its own."""
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


@pytest.fixture
def call(capsys, monkeypatch):
    """Runs the command in this process."""
    monkeypatch.setattr(sys, "argv", ["/usr/sbin/dkimcore-milter"])

    def run_here(*arguments):
        capsys.readouterr()
        status = command.main([*map(str, arguments)])
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=captured.out, stderr=captured.err)

    return run_here


@pytest.fixture
def conf(tmp_path):
    """Writes a configuration, and returns its path."""

    def write(*lines, name="opendkim.conf"):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


@contextmanager
def filter_running(*arguments):
    """The filter in the foreground, with its log on a pipe."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def until(process, event):
    """Reads the log up to a line of that event."""
    for line in process.stdout:
        record = json.loads(line)
        if record["event"] == event:
            return record
    raise AssertionError(f"the log ended: {process.stderr.read()}")


class TestText:
    def test_help(self, call):
        ran = call("--help")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout == flags.usage("dkimcore-milter") + "\n"

    def test_version(self, call):
        ran = call("--version")
        assert (ran.returncode, ran.stdout) == (0, f"dkimcore-milter {__version__}\n")

    def test_versions(self, call):
        ran = call("-V")
        assert ran.returncode == 0
        first, *rest = ran.stdout.splitlines()
        assert first == f"dkimcore-milter: dkimcore-milter v{__version__}"
        assert {"\t\trsa-sha256", "\t\ted25519-sha256", "\t\trelaxed", "\t\tsimple"} <= set(rest)
        assert "\t\trsa-sha1" not in rest

    def test_what_is_not_installed_is_said(self, call, monkeypatch):
        def version(name):
            raise PackageNotFoundError(name)

        monkeypatch.setattr(versions, "version", version)
        assert "\tcryptography (not installed), " in call("-V").stdout

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["-?"], None),
            (["-q"], "option -q not recognized"),
            (["-x"], "option -x requires argument"),
            (["operand"], "there is 'operand' behind the flags, where nothing may stand"),
        ],
    )
    def test_a_wrong_command_line(self, call, arguments, problem):
        ran = call(*arguments)
        lines = [] if problem is None else [f"dkimcore-milter: {problem}"]
        assert (ran.returncode, ran.stdout) == (64, "")
        assert ran.stderr.splitlines() == lines + flags.usage("dkimcore-milter").splitlines()

    def test_a_wrong_number_needs_no_usage(self, call):
        ran = call("-T", "soon")
        assert ran.returncode == 64
        assert ran.stderr == "dkimcore-milter: invalid value for -T: seconds are wanted\n"

    def test_it_goes_by_the_name_it_was_called_by(self, tmp_path):
        script = tmp_path / "opendkim"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom dkimcore_milter.command import main\n"
            "sys.exit(main())\n"
        )
        script.chmod(0o755)
        ran = subprocess.run([script, "-T", "x"], capture_output=True, text=True, check=False)
        assert ran.stderr.startswith("opendkim: invalid value")


class TestConfiguration:
    def test_a_line_that_is_wrong(self, call, conf):
        path = conf("Mode sv", "Bogus yes")
        for arguments in (["-n"], [], ["-t", "-"]):
            ran = call("-x", path, *arguments)
            assert (ran.returncode, ran.stdout) == (78, "")
            problem = f"dkimcore-milter: {path}: configuration error at line 2: "
            assert ran.stderr.startswith(problem)
            assert ran.stderr.count("\n") == 1

    def test_a_file_that_is_not_there(self, call, tmp_path):
        ran = call("-n", "-x", tmp_path / "none")
        assert ran.returncode == 78
        assert ran.stderr.startswith(f"dkimcore-milter: {tmp_path}/none: ")

    def test_a_flag_that_is_wrong(self, call, conf):
        ran = call("-n", "-x", conf("Mode v"), "-b", "z")
        assert ran.returncode == 78
        assert ran.stderr.startswith("dkimcore-milter: Mode: ")

    def test_standard_input_is_a_configuration(self):
        ran = run("-n", "-x", "-", stdin=None, input="Bogus yes\n")
        assert ran.returncode == 78
        assert "configuration error at line 1: " in ran.stderr

    def test_without_a_file_the_default_one_is_read(self, conf, monkeypatch, capsys):
        monkeypatch.setattr(command, "DEFAULT_CONFIGURATION", str(conf("Bogus yes")))
        assert command.main(["-n"]) == 78
        assert "configuration error at line 1: " in capsys.readouterr().err
        assert command.main(["-n", "-vv"]) == 78
        assert "using default configuration file " in capsys.readouterr().err
        assert command.main(["-V"]) == 0
        assert f"{command.DEFAULT_CONFIGURATION}\n" in capsys.readouterr().out

    def test_without_any_file_there_are_the_flags(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(command, "DEFAULT_CONFIGURATION", str(tmp_path / "none"))
        assert command.main(["-e", "Mode"]) == 78
        assert command.main(["-b", "v"]) == 78
        assert "milter socket must be specified" in capsys.readouterr().err
        assert command.main(["-V"]) == 0
        assert "Configuration file without -x: none\n" in capsys.readouterr().out


class TestCheck:
    def test_nothing_is_said_when_all_is_well(self, call, conf, tmp_path):
        path = conf("Mode v", f"Socket local:{tmp_path}/sock", "UMask 007")
        ran = call("-n", "-x", path)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    def test_a_warning_is_no_failure(self, call, conf, tmp_path):
        path = conf("Mode v", "Statistics /nowhere", f"Socket local:{tmp_path}/sock")
        ran = call("-n", "-x", path)
        assert (ran.returncode, ran.stdout) == (0, "")
        assert f"{path}:2: warning: " in ran.stderr

    def test_an_error_is_one(self, call, conf, tmp_path):
        (tmp_path / "signing").write_text("* k1\n")
        path = conf(
            *("Mode s", f"SigningTable file:{tmp_path}/signing", f"KeyTable {tmp_path}/keys"),
            f"Socket local:{tmp_path}/sock",
        )
        (tmp_path / "keys").write_text(f"k1 example.com:s1:{tmp_path}/none\n")
        ran = call("-n", "-x", path)
        assert (ran.returncode, ran.stdout) == (78, "")
        assert f"{tmp_path}/keys:1: error: " in ran.stderr


class TestShow:
    def test_the_last_value_comes_first(self, call, conf):
        path = conf("Mode s", "UserID opendkim:mail", "mode v", "Syslog Yes")
        assert call("-x", path, "-e", "MODE").stdout == "v\ns\n"
        assert call("-x", path, "-e", "userid").stdout == "opendkim:mail\n"
        assert call("-x", path, "-b", "sv", "-e", "Syslog").stdout == "True\n"
        assert call("-x", path, "-e", "Mode").returncode == 0

    def test_an_option_that_is_not_set(self, call, conf):
        ran = call("-x", conf("Mode s"), "-e", "Socket")
        assert (ran.returncode, ran.stdout, ran.stderr) == (78, "", "")

    def test_an_option_that_is_none(self, call, conf):
        ran = call("-x", conf("Mode s"), "-e", "Sockets")
        assert (ran.returncode, ran.stdout) == (65, "")
        assert ran.stderr == (
            "dkimcore-milter: there is no option 'Sockets'; did you mean Socket?\n"
        )
        assert call("-x", conf("Mode s"), "-e", "!").returncode == 65

    def test_octets_that_are_no_text_are_shown_somehow(self, call, conf):
        path = conf()
        path.write_bytes(b"AuthservID \xff\xfe\n")
        ran = call("-x", path, "-e", "AuthservID")
        assert (ran.returncode, ran.stderr) == (0, "")


def test_query_mode_reads_standard_input():
    ran = run("-Q", stdin=None, input="csl:a=b,c=d\na/1\nx/1\n")
    assert (ran.returncode, ran.stdout) == (0, "'b'\ndkimcore-milter: record not found\n")


def test_query_mode_without_input(call):
    """pytest's standard input is empty."""
    assert call("-Q").returncode == 71


def test_the_package_is_a_program(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-", "-?"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("dkimcore_milter", run_name="__main__")
    assert ended.value.code == 64
    runpy.run_module("dkimcore_milter.__main__", run_name="imported")


def test_test_mode_reads_standard_input(conf):
    message = "From: a@example.com\n\nhello\n"
    ran = run("-x", conf("Mode v"), "-t", "-", stdin=None, input=message)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "dkimcore-milter: (stdin): message not signed\n"


class TestServing:
    def test_a_socket_is_wanted(self, call, conf):
        ran = call("-x", conf("Mode v"))
        assert ran.returncode == 78
        assert ran.stderr == (
            "dkimcore-milter: milter socket must be specified: add a line such as 'Socket "
            "inet:8891@localhost' to the configuration, or the flag -p inet:8891@localhost\n"
        )

    def test_a_socket_that_cannot_be_understood(self, call, conf):
        ran = call("-x", conf("Mode v"), "-p", "carrier:pigeon")
        assert ran.returncode == 78
        assert "pigeon" in ran.stderr

    def test_a_start_that_fails_is_logged_too(self, conf, tmp_path):
        ran = run(
            *("-x", conf("Mode v", "DkimcoreLogFormat json", "PeerList file:/nonexistent")),
            *("-f", "-p", f"local:{tmp_path}/sock"),
        )
        assert ran.returncode == 78
        record = json.loads(ran.stdout)
        assert (record["level"], record["event"]) == ("err", "failed")
        assert ran.stderr == f"dkimcore-milter: {record['text']}\n"
        assert "configuration error at line 3: " in record["text"]

    def test_an_unknown_user(self, call, conf, tmp_path):
        ran = call("-x", conf("Mode v"), "-f", "-p", f"local:{tmp_path}/s", "-u", "nobody-at-all")
        assert ran.returncode == 65
        assert ran.stderr.startswith("dkimcore-milter: ")

    def test_a_reload_reads_the_file_again_and_flags_still_win(self, conf, tmp_path, monkeypatch):
        """OpenDKIM forgets its flags at a reload."""
        monkeypatch.chdir(tmp_path)
        lines = ["DkimcoreLogFormat json", "DkimcoreWorkers 1", f"Socket local:{tmp_path}/sock"]
        conf(*lines, "Mode sv")
        with filter_running("-f", "-x", "opendkim.conf", "-b", "v", "-l") as process:
            started = until(process, "starting")
            assert started["text"] == (
                f"dkimcore-milter v{__version__} starting (args: -f -x opendkim.conf -b v -l)"
            )
            conf(*lines, "Mode s", "Statistics /nowhere")  # signing alone would want a key
            process.send_signal(signal.SIGHUP)
            assert "Statistics is without effect" in until(process, "option-notice")["text"]
            assert until(process, "reloaded")["text"].startswith("configuration reloaded from ")
            conf(*lines, "Bogus yes")
            process.send_signal(signal.SIGUSR1)
            failed = until(process, "reload-failed")
            assert failed["level"] == "err"
            assert f"{tmp_path}/opendkim.conf: configuration error at line 4: " in failed["text"]
            process.send_signal(signal.SIGTERM)
            assert "terminating with status 0" in until(process, "terminating")["text"]
            assert process.wait(10) == 0

    def test_what_came_from_standard_input_cannot_be_read_again(self, tmp_path):
        again = command._again(flags.Flags(configuration="-"), "-")
        with pytest.raises(ConfigError, match="came from standard input"):
            again()
        with pytest.raises(ConfigError, match="there is no configuration file"):
            command._again(flags.Flags(), None)()


class TestFaults:
    @pytest.mark.parametrize(
        ("error", "status", "text"),
        [
            (StartFailure("the socket is in use", status=69), 69, "the socket is in use"),
            (KeyUnavailable("no answer", uri="vault:x"), 78, "vault:x: no answer"),
            (ConfigError("wrong", file="/f", line=3), 78,
             "/f: configuration error at line 3: wrong"),
            (ConfigError("wrong", file="/f"), 78, "/f: wrong"),
            (ConfigError("wrong\nforged"), 78, r"wrong\x0aforged"),
            (FileNotFoundError(2, "No such file", "/f"), 71, "/f: No such file"),
            (PermissionError(13, "Permission denied", "/f"), 77, "/f: Permission denied"),
            (OSError("odd"), 74, "odd"),
            (RuntimeError("boo"), 70, f"a bug in dkimcore-milter {__version__} (RuntimeError); "
             "please report it, with what DKIMCORE_TRACEBACK=1 prints"),
        ],
    )  # fmt: skip
    def test_each_has_its_status_and_one_line(self, error, status, text, monkeypatch, capfd):
        def fail(*_arguments):
            raise error

        monkeypatch.setattr(command, "_run", fail)
        monkeypatch.setattr(command, "_drop_output", lambda: None)
        assert command.main([]) == status
        assert capfd.readouterr().err.rstrip("\n") in (
            f"dkimcore-milter: {text}",
            f"{os.path.basename(sys.argv[0])}: {text}",
        )

    def test_a_reader_who_has_had_enough_is_no_fault(self, monkeypatch, capsys):
        def fail(_arguments):
            raise BrokenPipeError

        dropped = []
        monkeypatch.setattr(command, "parse", fail)
        monkeypatch.setattr(command, "_drop_output", lambda: dropped.append(True))
        assert command.main([]) == 141
        assert capsys.readouterr().err == ""
        assert dropped

    def test_a_bug_shows_its_traceback_where_that_is_wanted(self, monkeypatch, capsys):
        monkeypatch.setattr(command, "parse", lambda _arguments: 1 / 0)
        monkeypatch.setenv("DKIMCORE_TRACEBACK", "1")
        assert command.main([]) == 70
        assert "ZeroDivisionError" in capsys.readouterr().err.splitlines()[-2]

    def test_an_interruption(self, monkeypatch):
        def interrupt(_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(command, "parse", interrupt)
        assert command.main([]) == 130

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            ran = run("--help", stdout=full)
        assert ran.returncode == 74
        assert ran.stderr == "dkimcore-milter: No space left on device\n"

    def test_output_that_nobody_reads(self):
        reading, writing = os.pipe()
        os.close(reading)
        ran = run("--help", stdout=writing)
        os.close(writing)
        assert (ran.returncode, ran.stderr) == (141, "")

    def test_closed_standard_descriptors(self):
        ran = subprocess.run(
            ["sh", "-c", '"$@" <&- >&-', "sh", *COMMAND, "--version"],
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, b"")
        ran = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *COMMAND, "-Q"], check=False)
        assert ran.returncode == 74

    @pytest.mark.parametrize(
        "lines",
        [
            [f"KeyTable csl:k=example.com:s1:{CANARY}", "SigningTable csl:*=k"],
            [f"KeyTable csl:k={CANARY}", "SigningTable csl:*=k"],
            [f"KeyTable csl:k=a_b:{CANARY}:example.com", "SigningTable csl:*=k"],
            [f"KeyTable csl:k=example.com:{CANARY}:x", "SigningTable csl:*=k"],
            [f"KeyTable csl:k=example.com:s1:{CANARY}", "SigningTable csl:*=none"],
            [f"KeyTable csl:k=example.com:s1:{CANARY}"],
        ],
    )
    def test_a_key_in_the_settings_is_never_shown(self, conf, tmp_path, lines):
        message = tmp_path / "m"
        message.write_text("From: a@example.com\n\nhello\n")
        path = conf("Mode s", *lines, "DkimcoreLogFormat json")
        everything = [
            ["-n"],
            ["-t", message],
            ["-t", message, "-vv"],
            ["-e", "KeyTable"],
            ["-f", "-p", "local:/nonexistent/sock"],
        ]
        for arguments in everything:
            ran = run("-x", path, *arguments, env={**os.environ, "DKIMCORE_TRACEBACK": "1"})
            assert "CANARY" not in ran.stdout + ran.stderr, arguments
        ran = run("-n", "-x", "-", stdin=None, input=f"{CANARY} yes\n")
        assert ran.returncode == 78

    @pytest.mark.parametrize("passphrase", ["right-CANARY", "wrong-CANARY"])
    def test_a_passphrase_is_never_shown(self, conf, tmp_path, passphrase):
        key = load_pem_private_key(EphemeralKey.rsa(1024).private_pem(), None)
        kind = BestAvailableEncryption(b"right-CANARY")
        key_file = tmp_path / "key"
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kind))
        key_file.chmod(0o600)
        message = tmp_path / "m"
        message.write_text("From: a@example.com\n\nhello\n")
        lines = ["Domain example.com", "Selector s1", "RequireSafeKeys no", f"KeyFile {key_file}"]
        path = conf("Mode s", "DkimcoreLogFormat json", *lines)
        statuses = set()
        for arguments in (["-n"], ["-t", message, "-vv"], ["-f", "-p", "local:/nonexistent/s"]):
            environment = {"DKIMCORE_PASSPHRASE": passphrase, "DKIMCORE_TRACEBACK": "1"}
            ran = run("-x", path, *arguments, env={**os.environ, **environment})
            assert "CANARY" not in ran.stdout + ran.stderr, arguments
            statuses.add(ran.returncode)
        assert 78 in statuses if passphrase.startswith("wrong") else 0 in statuses


def test_nothing_is_imported_that_a_mode_does_not_need(conf):
    path = conf("Mode v")
    code = (
        "import sys\nfrom dkimcore_milter.command import main\nstatus = main(sys.argv[1:])\n"
        "unwanted = {'click', 'rich', 'dns', 'asyncio', 'milter', 'Milter'} & set(sys.modules)\n"
        "sys.exit(status or (str(unwanted) if unwanted else 0))\n"
    )
    records = conf("s1._domainkey.example.com v=DKIM1; p=", name="records")
    check = conf(
        *("Mode v", f"TestPublicKeys {records}", "Socket inet:8891@localhost"), name="check"
    )
    for arguments in (["--version"], ["-x", path, "-e", "Mode"], ["-x", check, "-n"]):
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")


def test_the_distribution_has_the_command():
    """The entry point that pyproject.toml names."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'dkimcore-milter = "dkimcore_milter.command:main"' in text


DUMPABLE = """
import ctypes, resource, sys
from dkimcore_milter.command import main
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
status = main(sys.argv[1:])
PR_GET_DUMPABLE = 3
dumpable = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)
print(status, dumpable, resource.getrlimit(resource.RLIMIT_CORE)[0] == 0)
"""


@pytest.mark.parametrize(("option", "said"), [("no", "0 0 True\n"), ("yes", "0 1 ")])
def test_the_check_which_opens_all_keys_is_not_dumped(tmp_path, option, said):
    key = tmp_path / "key.pem"
    key.touch(0o600)
    key.write_bytes(EphemeralKey.ed25519().private_pem())
    conf = tmp_path / "opendkim.conf"
    conf.write_text(
        f"Socket inet:8891@127.0.0.1\nDomain example.com\nSelector s1\nKeyFile {key}\n"
        f"RequireSafeKeys no\nEnableCoredumps {option}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", DUMPABLE, "-n", "-x", conf],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stdout.startswith(said), ran.stderr
