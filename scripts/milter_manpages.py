"""Writes the man pages of the milter: dkimcore-milter(8), and dkimcore-milter.conf(5).

usage: python scripts/milter_manpages.py [--check]

The flags come from the command and the options from their table, so that neither page can
say what the program does not do.  ``docs/man/*`` are kept in the repository; with ``--check``
nothing is written, and the exit status is 1 when one of them is not current.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a program, not imported by a test
    sys.path.insert(0, str(ROOT))

from dkimcore.settings.option import Fate, Option  # noqa: E402
from dkimcore.settings.options import OPTIONS  # noqa: E402
from dkimcore.version import __version__  # noqa: E402
from dkimcore_milter.command import DEFAULT_CONFIGURATION  # noqa: E402
from dkimcore_milter.flags import FLAGS  # noqa: E402
from scripts.manpages import definitions, roff, write  # noqa: E402

__all__ = ["ROOT", "main", "pages"]

MAN = Path("docs/man")

DESCRIPTION = (
    "dkimcore\\-milter is a mail filter for Postfix and other mail servers that speak the milter "
    "protocol. It signs mail of the site's own hosts and users with DKIM (RFC 6376), and "
    "verifies all other mail and says in an Authentication\\-Results field what came of it. It "
    "takes the place of OpenDKIM: it reads the same opendkim.conf(5), KeyTable, SigningTable "
    "and host lists, and takes the flags of opendkim(8).",
    "Without \\-x the file " + roff(DEFAULT_CONFIGURATION) + " is read if that is possible. Flags "
    "win over the file, also after a reload.",
    "One process watches the others, the workers, which serve mail. The socket is opened as the "
    "user of UserID; keys named by KeyFile are read before that.",
)

EXIT_STATUS = (
    ("0", "Ended by a signal, or left to run in the background; or all that was asked for is "
     "in order."),
    ("64", "The command line is wrong."),
    ("65", "The user or the group of UserID, or the option of -e, is not known; a message of "
     "test mode is malformed."),
    ("69", "The socket is in use or cannot be opened; a worker died, or too many did; a file of "
     "test mode is not there."),
    ("70", "A bug; the data set of -Q cannot be opened; a step of test mode "
     "ended a message early."),
    ("71", "A system call failed: fork, chroot."),
    ("74", "Standard output cannot be written."),
    ("77", "Permission denied."),
    ("78", "Configuration: a setting, a table, a key, or what is installed has to be changed; "
     "the option of -e is not set."),
)  # fmt: skip

SIGNALS = (
    ("SIGHUP, SIGUSR1", "Read the configuration, the tables and the key of KeyFile again. "
     "What is wrong with the new configuration is logged, and the old one stays. A key file of "
     "the KeyTable that changed is read again without a signal, before the next message."),
    ("SIGTERM, SIGINT", "End within a second."),
)  # fmt: skip

TEST_MODE = (
    "\\-t plays a client that sends the messages in the files, with LF or CRLF at their line "
    "ends; \\- is standard input. The client is localhost [127.0.0.1], and each macro X has the "
    "value DEBUG\\-X, so that it counts as authenticated. PeerList and ExemptDomains are not "
    "used, and messages are verified unless Mode says otherwise. What came of each message is "
    "printed on standard output; a signature that fails is no failure of the command.",
    "With \\-v replies other than to go on are shown on standard error; with \\-vv all replies, "
    "and on standard output what would be changed.",
)

SYNTAX = (
    "One option stands in each line: its name, white space, its value. Names compare without "
    "case. What stands behind # is a comment, and there is no quoting and no continuation. Of "
    "several lines with one option the last counts. Include puts another file in its place.",
    "A boolean is judged by its first letter: y, t and 1 are yes, n, f and 0 are no; on and off "
    "are words of their own. An integer with 0 in front is octal, and with 0x hexadecimal.",
    "A data set is file:/path, with a key and perhaps a value in each line; refile:/path, whose "
    "keys are patterns in which * stands for anything; or csl:a,b=c, a list. A bare path is a "
    "file:, and all else a list.",
    "A file whose name ends in .toml holds the same settings in the form of TOML.",
)

KIND = {"boolean": "yes or no", "string": "text"}


def title(name: str, section: int, heading: str) -> str:
    """The head of a page."""
    return (
        '.\\" Written by scripts/milter_manpages.py from the program itself.\n'
        f'.TH {roff(name).upper()} {section} "" "dkimcore {__version__}" "{heading}"\n'
    )


def paragraphs(texts: tuple[str, ...]) -> str:
    """Paragraphs of text that is escaped already."""
    return "".join(f".PP\n{text}\n" for text in texts)


def see_also(*names: tuple[str, int]) -> str:
    """References to other pages."""
    listed = ",\n".join(f".BR {roff(name)} ({section})" for name, section in names)
    return f".SH SEE ALSO\n{listed}\n"


def flags() -> list[tuple[str, str]]:
    """Each flag with its meaning."""
    found = []
    for flag in FLAGS:
        option = f" [{flag.option}]" if flag.option else ""
        meaning = flag.meaning[0].upper() + flag.meaning[1:]
        found.append((f"-{flag.letter} {flag.argument}".strip(), f"{meaning}{option}."))
    return [*found, ("--help", "Print the usage, and exit."), ("--version", "Print the version.")]


def command_page() -> str:
    """The page dkimcore-milter(8)."""
    files = (
        (DEFAULT_CONFIGURATION, "The configuration; see dkimcore-milter.conf(5)."),
        ("/dev/log", "The socket of the syslog daemon."),
    )
    environment = (
        ("DKIMCORE_PASSPHRASE, DKIMCORE_PASSPHRASE_FILE",
         "The passphrase of encrypted private keys, or the file that holds it."),
        ("DKIMCORE_TRACEBACK", "If set, a bug shows its traceback, for reports."),
        ("NOTIFY_SOCKET", "Where systemd is told about the start, a reload and the end."),
    )  # fmt: skip
    examples = (
        "dkimcore-milter -n -x /etc/opendkim.conf",
        "dkimcore-milter -f -x /etc/opendkim.conf -p inet:8891@localhost",
        "dkimcore-milter -x /etc/opendkim.conf -vv -t message.eml",
    )
    return (
        title("dkimcore-milter", 8, "System Administration")
        + ".SH NAME\ndkimcore\\-milter \\- DKIM signing and verifying filter for mail servers\n"
        + ".SH SYNOPSIS\n.B dkimcore\\-milter\n[\\-x conffile] [\\-p socket] [options]\n"
        + f".SH DESCRIPTION\n{paragraphs(DESCRIPTION)}"
        + ".SH OPTIONS\nOptions of the configuration that a flag sets stand in brackets.\n"
        + definitions(flags())
        + f".SH TEST MODE\n{paragraphs(TEST_MODE)}"
        + f".SH SIGNALS\n{definitions(SIGNALS)}"
        + f".SH EXIT STATUS\n{definitions(EXIT_STATUS)}"
        + f".SH ENVIRONMENT\n{definitions(environment)}"
        + f".SH FILES\n{definitions(files)}"
        + ".SH EXAMPLES\n"
        + "".join(f".PP\n.nf\n{roff(line)}\n.fi\n" for line in examples)
        + see_also(("dkimcore-milter.conf", 5), ("dkimcore", 1), ("dkimcore-keygen", 1))
        + ".PP\nRFC 6376, RFC 8301, RFC 8463, RFC 8601\n"
    )


def described(text: str) -> str:
    """An option's text for roff: what is in backticks becomes bold."""
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fP", roff(text))


def entry(option: Option, text: str) -> str:
    """One option of the page."""
    kind = KIND.get(option.kind, option.kind)
    default = "" if option.default == "-" else f"; default {option.default}"
    return f'.TP\n.BR {roff(option.name)} " ({roff(kind + default)})"\n{described(text)}\n'


def ended(text: str) -> str:
    """A sentence with its capital and its full stop."""
    return text[0].upper() + text[1:].rstrip(".") + "."


def options(fate: Fate) -> str:
    """The options of one fate."""
    return "".join(
        entry(option, option.effect + (f" {ended(option.reason)}" if option.reason else ""))
        for option in OPTIONS
        if option.fate is fate
    )


def configuration_page() -> str:
    """The page dkimcore-milter.conf(5)."""
    files = ((DEFAULT_CONFIGURATION, "The file that is read without -x."),)
    return (
        title("dkimcore-milter.conf", 5, "File Formats")
        + ".SH NAME\ndkimcore\\-milter.conf \\- configuration of dkimcore\\-milter\n"
        + f".SH SYNOPSIS\n.B {roff(DEFAULT_CONFIGURATION)}\n"
        + ".SH DESCRIPTION\nThe file has the form of opendkim.conf(5), and a working one can stay "
        + "as it is.\n"
        + paragraphs(tuple(map(roff, SYNTAX)))
        + f".SH OPTIONS\n{options(Fate.HONOURED)}"
        + ".SH OPTIONS WITHOUT EFFECT\nThese may stay in the file; a line in the log says at "
        + f"start that nothing follows from them.\n{options(Fate.NO_EFFECT)}"
        + ".SH OPTIONS THAT ARE REFUSED\nWith one of these the filter does not start: other mail "
        + f"would be signed or accepted than the file says.\n{options(Fate.REFUSED)}"
        + f".SH FILES\n{definitions(files)}"
        + see_also(("dkimcore-milter", 8))
    )


def pages() -> dict[Path, str]:
    """Every file that this script writes, relative to the project's folder."""
    return {
        MAN / "dkimcore-milter.8": command_page(),
        MAN / "dkimcore-milter.conf.5": configuration_page(),
    }


def main(arguments: list[str]) -> int:
    """Writes or checks the files."""
    return write(pages(), arguments, script="scripts/milter_manpages.py", root=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
