"""The group of verbs, and the one place where errors become exit statuses.

Verbs are imported when they are called, so that ``dkimcore sign`` does not pay for DNS.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import click

from dkimcore.cli.exits import CommandError, Exit, exit_of
from dkimcore.cli.output import printable
from dkimcore.errors import DkimError
from dkimcore.keys.coredumps import protect_memory
from dkimcore.protocol.speedups import in_use
from dkimcore.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["application", "run"]

# Verb to module and one line for the overview; each module has a `command`.
_VERBS = {
    "sign": ("dkimcore.cli.sign", "Sign messages."),
    "verify": ("dkimcore.cli.verify", "Verify messages, and say why one fails."),
    "keygen": ("dkimcore.cli.keygen", "Make keys and their DNS records."),
    "key": ("dkimcore.cli.key", "Move keys to another backend, and look at them."),
    "testkey": ("dkimcore.cli.testkey", "Check private keys against their DNS records."),
    "record": ("dkimcore.cli.record", "Read and judge a key record."),
    "why": ("dkimcore.cli.why", "Explain what the milter would do with a message."),
}

_EPILOG = (
    "Exit status: 0 passed or signed; 1 not passed; 64 usage; 65 not a message; 66 no input; "
    "75 temporary; 77 permission; 78 configuration."
)


class _Verbs(click.Group):
    """A group that imports a verb's module when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = importlib.import_module(_VERBS[cmd_name][0]).command
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in _VERBS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: object) -> None:
    if value:
        click.echo(f"dkimcore {__version__} (speedups: {in_use()})")
        ctx.exit()


@click.command(
    "dkimcore",
    cls=_Verbs,
    epilog=_EPILOG,
    context_settings={"max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version, and which accelerators are loaded.",
)
def application() -> None:
    """Sign and verify mail with DKIM (RFC 6376, 8301, 8463, 8616)."""
    # For every verb, since most of them open keys; a crash of the others is no loss.
    protect_memory(core_dumps=False)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status."""
    if sys.stdout is None:  # its descriptor was closed by whoever started us
        return Exit.IO
    try:
        status = application.main(list(arguments), prog_name="dkimcore", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        return _usage(error)
    except (DkimError, OSError, CommandError, click.ClickException) as error:
        return _failed(error)
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - a bug: one line and a status, as for the rest
        return _bug(error)
    return status if isinstance(status, int) else Exit.OK


def _usage(error: click.UsageError) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2: no verb was given
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    name = error.ctx.command_path if error.ctx else "dkimcore"
    click.echo(f"{name}: {printable(error.format_message())}", err=True)
    click.echo(f"Try '{name} --help'.", err=True)
    return Exit.USAGE


def _failed(error: DkimError | OSError | CommandError | click.ClickException) -> int:
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has had enough.
        _drop_output()
        return 128 + signal.SIGPIPE
    if isinstance(error, OSError) and error.filename is None:
        _drop_output()  # it may be standard output that cannot be written
    if isinstance(error, click.ClickException):
        click.echo(f"dkimcore: {printable(error.format_message())}", err=True)
        return Exit.USAGE
    click.echo(f"dkimcore: {printable(_text(error))}", err=True)
    return exit_of(error)


def _drop_output() -> None:
    """Write nothing more, not even what is buffered when Python ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _bug(error: Exception) -> int:
    if os.environ.get("DKIMCORE_TRACEBACK"):
        traceback.print_exc()
    click.echo(
        f"dkimcore: a bug in dkimcore {__version__} ({type(error).__name__}); please report it, "
        "with what DKIMCORE_TRACEBACK=1 prints",
        err=True,
    )
    return Exit.SOFTWARE
