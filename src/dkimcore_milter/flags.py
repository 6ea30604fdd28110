"""The command line of opendkim(8): every flag, what it stands for, and the usage text.

Read as getopt(3) reads it: flags may be bundled (``-lf``), an argument may follow its letter
at once (``-x/etc/opendkim.conf``), ``--`` ends the flags.  Operands are an error.  Most flags
are another way to write an option of opendkim.conf; they become overrides here, and whoever
reads the settings judges their values.
"""

from __future__ import annotations

import getopt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FLAGS", "STANDARD_INPUT", "Flag", "Flags", "UsageError", "parse", "usage"]

STANDARD_INPUT = "-"
_MAX_TIME = 999_999_999_999  # RFC 6376 section 3.5: t= has at most 12 digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag.

    Attributes:
        letter: What stands behind the ``-``.
        meaning: Its line in the usage text, and its text in the man page.
        argument: What its argument is called; "" if it takes none.
        option: The option of opendkim.conf that it sets.
        value: The value that it sets, for a flag without an argument.
    """

    letter: str
    meaning: str
    argument: str = ""
    option: str | None = None
    value: str = "yes"


FLAGS = (
    Flag(letter="A", meaning="start a worker again when it dies", option="AutoRestart"),
    Flag(letter="b", argument="modes", meaning="sign (s), verify (v), or both", option="Mode"),
    Flag(letter="c", argument="canon", meaning="canonicalization to sign with: header/body",
         option="Canonicalization"),
    Flag(letter="d", argument="domains", meaning="domains to sign for", option="Domain"),
    Flag(letter="D", meaning="sign for their subdomains, too", option="SubDomains"),
    Flag(letter="e", argument="name", meaning="print the values of an option, and exit"),
    Flag(letter="f", meaning="stay in the foreground", option="Background", value="no"),
    Flag(letter="F", argument="time", meaning="time of signing in test mode, in seconds"),
    Flag(letter="k", argument="keyfile", meaning="private key to sign with", option="KeyFile"),
    Flag(letter="l", meaning="log to syslog", option="Syslog"),
    Flag(letter="L", argument="limit", meaning="how much of a body must be signed",
         option="Minimum"),
    Flag(letter="n", meaning="check the configuration, tables and keys, and exit"),
    Flag(letter="o", argument="fields", meaning="header fields not to sign",
         option="OmitHeaders"),
    Flag(letter="p", argument="socket", meaning="where to listen, such as inet:8891@localhost",
         option="Socket"),
    Flag(letter="P", argument="pidfile", meaning="file to write the process id to",
         option="PidFile"),
    Flag(letter="Q", meaning="ask data sets, for trying them out"),
    Flag(letter="r", meaning="reject messages without the fields that RFC 5322 requires",
         option="RequiredHeaders"),
    Flag(letter="s", argument="selector", meaning="selector of the private key",
         option="Selector"),
    Flag(letter="S", argument="algorithm", meaning="algorithm to sign with",
         option="SignatureAlgorithm"),
    Flag(letter="t", argument="files", meaning="judge the messages in files, and exit"),
    Flag(letter="T", argument="seconds", meaning="time limit of a DNS query",
         option="DNSTimeout"),
    Flag(letter="u", argument="user", meaning="user[:group] to become", option="UserID"),
    Flag(letter="v", meaning="say more in test mode; twice: say all"),
    Flag(letter="V", meaning="print versions and algorithms, and exit"),
    Flag(letter="W", meaning="log why mail was not signed", option="LogWhy"),
    Flag(letter="x", argument="conffile", meaning="configuration file; - is standard input"),
    Flag(letter="X", meaning="nothing; taken for the sake of old scripts"),
)  # fmt: skip
"""The flags of opendkim(8), in the order of its usage text."""

_SHORT = "".join(flag.letter + (":" if flag.argument else "") for flag in FLAGS) + "?"
_BY_LETTER = {flag.letter: flag for flag in FLAGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """A command line that was understood.

    Attributes:
        configuration: The settings file (-x); None if none was named.
        overrides: Options and values in the order of the flags; the last of a name wins.
        help: Print the usage text (--help).
        program_version: Print the version alone (--version).
        versions: Print all versions (-V).
        check: Check everything (-n).
        show: The option whose values are to be printed (-e).
        query: Ask data sets (-Q).
        tests: The messages of test mode (-t); () otherwise.
        fixed_time: The time of signing in test mode (-F), in seconds since 1970.
        verbosity: How often -v was given.
    """

    configuration: str | None = None
    overrides: tuple[tuple[str, str], ...] = ()
    help: bool = False
    program_version: bool = False
    versions: bool = False
    check: bool = False
    show: str | None = None
    query: bool = False
    tests: tuple[str, ...] = ()
    fixed_time: int | None = None
    verbosity: int = 0


class UsageError(Exception):
    """The command line is wrong.

    Args:
        problem: What is wrong; "" where the usage text says enough.
        show_usage: Whether the usage text helps.
    """

    def __init__(self, problem: str, *, show_usage: bool = True) -> None:
        super().__init__(problem)
        self.problem = problem
        self.show_usage = show_usage


def parse(arguments: Sequence[str]) -> Flags:
    """Read a command line.

    Args:
        arguments: What stands behind the program's name.

    Raises:
        UsageError: A flag is not known, lacks its argument or has a wrong one, or there are
            operands.
    """
    try:
        pairs, operands = getopt.getopt(list(arguments), _SHORT, ["help", "version"])
    except getopt.GetoptError as exc:
        raise UsageError(exc.msg) from None
    if ("-?", "") in pairs:
        raise UsageError("")
    if operands:
        raise UsageError(f"there is {operands[0]!r} behind the flags, where nothing may stand")
    given = dict(pairs)  # the last of a flag wins
    return Flags(
        configuration=given.get("-x"),
        overrides=tuple(_override(*pair) for pair in pairs if _sets_option(pair[0])),
        help="--help" in given,
        program_version="--version" in given,
        versions="-V" in given,
        check="-n" in given,
        show=given.get("-e"),
        query="-Q" in given,
        tests=_files(given.get("-t")),
        fixed_time=_fixed_time(given.get("-F")),
        verbosity=sum(flag == "-v" for flag, _ in pairs),
    )


def usage(program: str) -> str:
    """Return the usage text, without a final line end."""
    lines = [f"{program}: usage: {program} [-x conffile] [-p socket] [options]"]
    lines += [
        f"\t{f'-{flag.letter} {flag.argument}':<13}\t{flag.meaning}"
        for flag in sorted(FLAGS, key=lambda flag: (flag.letter.lower(), flag.letter.isupper()))
    ]
    lines += [
        "\t--help       \tprint this, and exit",
        "\t--version    \tprint the version, and exit",
    ]
    return "\n".join(lines)


def _sets_option(flag: str) -> bool:
    known = _BY_LETTER.get(flag[1:])
    return known is not None and known.option is not None


def _override(flag: str, argument: str) -> tuple[str, str]:
    known = _BY_LETTER[flag[1:]]
    if known.letter == "T" and not _is_number(argument):
        raise UsageError("invalid value for -T: seconds are wanted", show_usage=False)
    return known.option or "", argument if known.argument else known.value


def _files(argument: str | None) -> tuple[str, ...]:
    if argument is None:
        return ()
    files = tuple(filter(None, argument.split(",")))
    if not files:
        raise UsageError("-t names no file")
    return files


def _fixed_time(argument: str | None) -> int | None:
    if argument is None:
        return None
    if not _is_number(argument) or int(argument) > _MAX_TIME:
        raise UsageError("invalid time value: seconds since 1970 are wanted", show_usage=False)
    return int(argument)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_TIME))
