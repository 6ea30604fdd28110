"""Writes the man pages and the reference of options from the commands themselves.

usage: python scripts/manpages.py [--check]

``docs/man/*.1`` and ``docs/reference/commands-options.md`` are kept in the repository; with
``--check`` nothing is written, and the exit status is 1 when one of them is not current.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dkimcore.cli.app import application
from dkimcore.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["pages", "write"]

ROOT = Path(__file__).resolve().parent.parent
MAN = Path("docs/man")
REFERENCE = Path("docs/reference/commands-options.md")

EXIT_STATUS = (
    ("0", "Passed, signed, in order."),
    ("1", "A message did not pass, or a key record cannot be used."),
    ("64", "The command line is wrong."),
    ("65", "The input is not a message that can be signed, or not a key record; a private key "
     "does not fit its record."),
    ("66", "An input file or a key file is not there."),
    ("69", "The key record is not there or cannot be used (testkey)."),
    ("70", "A bug of dkimcore."),
    ("73", "An output file cannot be made, or is there already."),
    ("74", "Reading or writing failed."),
    ("75", "Temporary: the same command may succeed later; the DNS or a key backend is down."),
    ("77", "Permission denied: a key that others can read, a passphrase that is wrong, a key "
     "backend that refuses."),
    ("78", "Configuration: a key, a setting or the installation has to be changed."),
)  # fmt: skip

ENVIRONMENT = (
    ("DKIMCORE_PASSPHRASE", "The passphrase of encrypted private keys."),
    ("DKIMCORE_PASSPHRASE_FILE", "A file with it, on its first line."),
    (
        "DKIMCORE_KEY_BACKENDS",
        "The file that says where key backends are; --backends goes before it.",
    ),
    ("DKIMCORE_PIN, DKIMCORE_PIN_FILE", "The PIN of a PKCS#11 token, or a file with it."),
    ("NO_COLOR", "If set and not empty, nothing is coloured."),
    ("DKIMCORE_TRACEBACK", "If set, a bug shows its traceback, for reports."),
)

EXAMPLES = {
    "sign": (
        "dkimcore sign --signer example.com:s1:/etc/dkim/s1.private message.eml > signed.eml",
        "dkimcore sign --signer example.com:s1:keys/s1.private \\\n"
        "    --signer example.com:s1-ed25519:keys/s1-ed25519.private --in-place *.eml",
    ),
    "verify": (
        "dkimcore verify message.eml",
        "dkimcore verify --explain --json ~/Maildir",
        "dkimcore verify --records keys/s1.txt --at 2026-01-31T12:00:00Z archive.mbox",
    ),
    "keygen": (
        "dkimcore keygen -d example.com -s s1 -D /etc/dkim",
        "dkimcore keygen -d example.com -s s1 --type ed25519 --raw",
        "dkimcore keygen --key vault-transit:transit/dkim-s1 --backends /etc/dkim/keys.toml \\\n"
        "    -d example.com -s s1",
    ),
    "key": (
        "dkimcore key import /etc/dkim/s1.private --to vault-kv:secret/dkim/s1 \\\n"
        "    --backends /etc/dkim/keys.toml -d example.com -s s1",
        "dkimcore key show 'vault-kv:secret/dkim/s1?version=1' --backends /etc/dkim/keys.toml",
        "dkimcore key check -x /etc/opendkim.conf",
    ),
    "testkey": (
        "dkimcore testkey -d example.com -s s1 -k /etc/dkim/s1.private -vvv",
        "dkimcore testkey -x /etc/opendkim.conf",
    ),
    "record": (
        "dkimcore record -d example.com -s s1",
        "dkimcore record --key /etc/dkim/s1.private --zone -d example.com -s s1",
        "dkimcore record --key 'awskms:alias/dkim/s1?region=eu-west-1'",
    ),
    "why": (
        "dkimcore why --config /etc/opendkim.conf --client 192.0.2.7 message.eml",
        "dkimcore why -x /etc/opendkim.conf --client 198.51.100.9 --auth-type PLAIN message.eml",
    ),
}


def verbs() -> dict[str, click.Command]:
    """The commands by verb, in the order of the overview."""
    context = click.Context(application, info_name="dkimcore")
    found = {
        verb: application.get_command(context, verb) for verb in application.list_commands(context)
    }
    return {verb: command for verb, command in found.items() if command is not None}


def usage(name: str, command: click.Command) -> str:
    """How a command is called."""
    context = click.Context(command, info_name=name)
    return " ".join([name, *command.collect_usage_pieces(context)])


def parts_of(verb: str, command: click.Command) -> dict[str, click.Command]:
    """A verb with its subcommands, or alone where it has none, by what is typed."""
    if isinstance(command, click.Group):
        return {f"{verb} {name}": part for name, part in command.commands.items()}
    return {verb: command}


def options_of(command: click.Command) -> list[tuple[str, str]]:
    """How each option is written, and its help."""
    context = click.Context(command, info_name=command.name)
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = [option.get_help_record(context) for option in options]
    return [(plain(names), plain(text)) for names, text in filter(None, records)]


def plain(text: str) -> str:
    """Text on one line."""
    return re.sub(r"\s+", " ", text).strip()


def roff(text: str) -> str:
    """Escapes text for roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"(?m)^\.", r"\\&.", escaped)


def definitions(items: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> str:
    """A list of terms with their meanings."""
    return "".join(f".TP\n.B {roff(term)}\n{roff(text)}\n" for term, text in items)


def paragraphs(command: click.Command) -> list[str]:
    """The paragraphs of a command's description."""
    return [plain(part) for part in re.split(r"\n\s*\n", (command.help or "").strip())]


def manpage(title: str, summary: str, synopses: list[str], body: str, others: list[str]) -> str:
    """A whole man page."""
    synopsis = "\n.br\n".join(f".B {roff(one)}" for one in synopses)
    related = ",\n".join(f".BR {roff(name)} (1)" for name in others)
    return (
        f'.\\" Written by scripts/manpages.py from the command itself.\n'
        f'.TH {roff(title).upper()} 1 "" "dkimcore {__version__}" "User Commands"\n'
        f".SH NAME\n{roff(title)} \\- {roff(summary)}\n"
        f".SH SYNOPSIS\n{synopsis}\n{body}"
        f".SH EXIT STATUS\n{definitions(EXIT_STATUS)}"
        f".SH ENVIRONMENT\n{definitions(ENVIRONMENT)}"
        f".SH SEE ALSO\n{related}\n.PP\nRFC 6376, RFC 8301, RFC 8463, RFC 8601, RFC 8616\n"
    )


def verb_page(verb: str, command: click.Command, every: list[str]) -> str:
    """The man page of one verb."""
    parts = parts_of(verb, command)
    first, *rest = paragraphs(command)
    described = "".join(f".PP\n{roff(part)}\n" for part in rest) or f".PP\n{roff(first)}\n"
    if parts == {verb: command}:
        described += f".SH OPTIONS\n{definitions(options_of(command))}"
    else:
        described += ".SH COMMANDS\n" + "".join(
            f".SS {roff(name)}\n"
            + "".join(f".PP\n{roff(part)}\n" for part in paragraphs(subcommand))
            + definitions(options_of(subcommand))
            for name, subcommand in parts.items()
        )
    examples = "".join(f".PP\n.nf\n{roff(line)}\n.fi\n" for line in EXAMPLES[verb])
    body = f".SH DESCRIPTION\n{described}.SH EXAMPLES\n{examples}"
    summary = first[0].lower() + first[1:].rstrip(".")
    others = ["dkimcore", *(f"dkimcore-{other}" for other in every if other != verb)]
    synopses = [usage(f"dkimcore {name}", part) for name, part in parts.items()]
    return manpage(f"dkimcore-{verb}", summary, synopses, body, others)


def overview(commands: dict[str, click.Command]) -> str:
    """The man page of ``dkimcore``."""
    listed = [(f"dkimcore {verb}", paragraphs(command)[0]) for verb, command in commands.items()]
    body = (
        f".SH DESCRIPTION\n{roff(paragraphs(application)[0])}\n"
        f".SH COMMANDS\n{definitions(listed)}"
        f".SH OPTIONS\n{definitions(options_of(application))}"
    )
    others = [f"dkimcore-{verb}" for verb in commands]
    summary = "sign and verify mail with DKIM"
    synopsis = "dkimcore [--version] COMMAND [OPTIONS] [ARGUMENTS]"
    return manpage("dkimcore", summary, [synopsis], body, others)


def reference(commands: dict[str, click.Command]) -> str:
    """The options of all commands, for the documentation."""
    parts = [
        "<!-- Written by scripts/manpages.py from the commands themselves. -->\n"
        "# Options of the commands\n"
    ]
    for verb, command in commands.items():
        found = parts_of(verb, command)
        if found != {verb: command}:
            text = "\n\n".join(markdown(part) for part in paragraphs(command))
            parts.append(f"## dkimcore {verb}\n\n{text}\n")
        for name, part in found.items():
            level = "##" if part is command else "###"
            called = usage(f"dkimcore {name}", part)
            parts.append(f"{level} dkimcore {name}\n\n```text\n{called}\n```\n")
            parts.append("\n\n".join(markdown(text) for text in paragraphs(part)) + "\n")
            parts += [f"`{names}`\n: {markdown(text)}\n" for names, text in options_of(part)]
    return "\n".join(parts)


def markdown(text: str) -> str:
    """Escapes text for Markdown."""
    return re.sub(r"([*<>\[\]_])", r"\\\1", text)


def pages() -> dict[Path, str]:
    """Every file that this script writes, relative to the project's folder."""
    commands = verbs()
    made = {MAN / "dkimcore.1": overview(commands), REFERENCE: reference(commands)}
    for verb, command in commands.items():
        made[MAN / f"dkimcore-{verb}.1"] = verb_page(verb, command, list(commands))
    return made


def write(
    wanted: Mapping[Path, str], arguments: list[str], *, script: str, root: Path = ROOT
) -> int:
    """Writes pages that are not as they should be, or with --check names them.

    Args:
        wanted: The text of each file.
        arguments: Those of the script.
        script: What to run to write them.
        root: The folder that the files are below.
    """
    stale = []
    for path, text in wanted.items():
        file = root / path
        if file.exists() and file.read_text("utf-8") == text:
            continue
        stale.append(str(path))
        if "--check" not in arguments:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
    if stale and "--check" in arguments:
        print(f"not current, run python {script}: {', '.join(stale)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(write(pages(), sys.argv[1:], script="scripts/manpages.py"))
