"""``dkimcore-milter``: what opendkim(8) is called with, and the exit statuses it ends with.

Reads the command line, then the settings, and hands over to the mode that was asked for:
versions, query, one option, check, test, or the filter itself.  The only place where errors
become exit statuses (sysexits.h, as OpenDKIM uses them):

======  ====================================================================
0       ended by a signal, left to run in the background; or all is in order
64      the command line is wrong
65      an unknown user, group or option; input of test mode is malformed
69      the socket cannot be opened; a file of test mode is not there; gave up
70      a bug; test mode: a step did not continue
71      a system call failed: fork, chroot
74      standard output cannot be written
77      permission denied
78      configuration: a setting, a table, a key, or what is installed
======  ====================================================================

Modules are imported when their mode is called, so that a check does not pay for DNS.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING

from dkimcore.errors import ConfigError, DkimError, KeyBackendError, SettingsError
from dkimcore.version import __version__
from dkimcore_milter.failure import StartFailure
from dkimcore_milter.flags import STANDARD_INPUT, Flags, UsageError, parse, usage
from dkimcore_milter.logline import Level, LogLine
from dkimcore_milter.logsink import escaped, make_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dkimcore.settings.model import Settings

__all__ = ["DEFAULT_CONFIGURATION", "main"]

DEFAULT_CONFIGURATION = "/etc/opendkim.conf"
"""What OpenDKIM reads, too, where -x is not given and this can be read."""

_PROGRAM = "dkimcore-milter"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The command line behind the program's name; that of this process if None.

    Returns:
        The exit status; nothing is raised but what Python uses to end a program.
    """
    name = os.path.basename(sys.argv[0])
    program = _PROGRAM if name in ("", "-c", "__main__.py") else name
    given = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # None if its descriptor is closed
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(program, given)
        if sys.stdout is not None:
            sys.stdout.flush()
    except UsageError as error:
        return _misused(program, error)
    except (DkimError, OSError) as error:
        return _failed(program, error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - a bug: one line and a status, as for the rest
        return _bug(program, error)
    return status


def _run(program: str, arguments: Sequence[str]) -> int:
    flags = parse(arguments)
    path = flags.configuration or _default_configuration()
    if flags.help or flags.program_version:
        print(usage(program) if flags.help else f"{_PROGRAM} {__version__}")
        return os.EX_OK
    if flags.versions:
        from dkimcore_milter.versions import versions

        print(versions(program, _default_configuration()))
        return os.EX_OK
    if flags.query:
        from dkimcore_milter.query import answer

        with open(0, encoding="utf-8", errors="surrogateescape", closefd=False) as source:
            return answer(program, source, sys.stdout, sys.stderr)
    if flags.verbosity > 1 and flags.configuration is None and path is not None:
        _say(program, f"using default configuration file {path}")
    if flags.show is not None:
        return _show(program, flags.show, path)
    return _with_settings(program, arguments, flags, path)


def _with_settings(program: str, arguments: Sequence[str], flags: Flags, path: str | None) -> int:
    from dkimcore.settings.load import load_settings

    settings = load_settings(path, overrides=flags.overrides)
    if flags.check:
        from dkimcore.keys.coredumps import protect_memory
        from dkimcore_milter.check import check

        protect_memory(core_dumps=settings.process.core_dumps)
        findings = check(settings)
        for finding in findings:
            print(escaped(str(finding)), file=sys.stderr)
        return os.EX_CONFIG if any(finding.is_error for finding in findings) else os.EX_OK
    if flags.tests:
        from dkimcore_milter.testmode import judge

        return judge(program, settings, flags)
    return _serve(program, arguments, settings, _again(flags, path))


def _serve(
    program: str, arguments: Sequence[str], settings: Settings, load: partial[Settings]
) -> int:
    if not settings.process.socket:
        _say(
            program,
            "milter socket must be specified: add a line such as 'Socket inet:8891@localhost' "
            "to the configuration, or the flag -p inet:8891@localhost",
        )
        return os.EX_CONFIG
    from dkimcore_milter.supervisor import run

    make = partial(make_log, name=program)
    try:
        return run(
            settings,
            load=load,
            make_log=make,
            program=program,
            version=f"v{__version__}",
            arguments=arguments,
        )
    except (ConfigError, KeyBackendError) as error:
        # Nobody may see standard error: init scripts throw it away.
        make(settings)(LogLine(level=Level.ERR, text=_text(error), event="failed"))
        raise


def _again(flags: Flags, path: str | None) -> partial[Settings]:
    """Return what reads the settings for a reload, wherever the process is by then."""
    if path is None or path == STANDARD_INPUT:
        return partial(_cannot_reload, path)
    from dkimcore.settings.load import load_settings

    return partial(load_settings, os.path.abspath(path), overrides=flags.overrides)


def _cannot_reload(path: str | None) -> Settings:
    raise SettingsError(
        "there is no configuration file to read again; start with -x and a file"
        if path is None
        else "the configuration came from standard input and cannot be read again; start with -x "
        "and a file"
    )


def _show(program: str, name: str, path: str | None) -> int:
    """Print the values of an option as the file has them, the last one first."""
    from dkimcore.settings.load import occurrences
    from dkimcore.settings.options import find_option, nearest_options
    from dkimcore_milter.query import hide_keys

    if find_option(name) is None:
        near = " or ".join(nearest_options(name))
        _say(program, f"there is no option {name!r}" + (f"; did you mean {near}?" if near else ""))
        return os.EX_DATAERR
    values = occurrences(path, name) if path else []
    for value in values:
        print(hide_keys(value))
    return os.EX_OK if values else os.EX_CONFIG


def _default_configuration() -> str | None:
    return DEFAULT_CONFIGURATION if os.access(DEFAULT_CONFIGURATION, os.R_OK) else None


def _misused(program: str, error: UsageError) -> int:
    if error.problem:
        _say(program, error.problem)
    if error.show_usage:
        print(usage(program), file=sys.stderr)
    return os.EX_USAGE


def _failed(program: str, error: DkimError | OSError) -> int:
    if isinstance(error, BrokenPipeError):
        _drop_output()  # whoever read our output has had enough
        return 128 + signal.SIGPIPE
    if isinstance(error, OSError):
        _drop_output()  # it may be standard output that cannot be written
        where = f"{error.filename}: " if error.filename else ""
        _say(program, f"{where}{error.strerror or error}")
        if isinstance(error, PermissionError):
            return os.EX_NOPERM
        return os.EX_OSERR if error.filename else os.EX_IOERR
    _say(program, _text(error))
    return error.status if isinstance(error, StartFailure) else os.EX_CONFIG


def _text(error: DkimError) -> str:
    """Say it as OpenDKIM says what is wrong with its configuration."""
    if not isinstance(error, ConfigError) or error.file is None:
        return str(error)
    if error.line is None:
        return f"{error.file}: {error.problem}"
    return f"{error.file}: configuration error at line {error.line}: {error.problem}"


def _bug(program: str, error: Exception) -> int:
    if os.environ.get("DKIMCORE_TRACEBACK"):
        traceback.print_exc()
    _say(
        program,
        f"a bug in {_PROGRAM} {__version__} ({type(error).__name__}); please report it, with "
        "what DKIMCORE_TRACEBACK=1 prints",
    )
    return os.EX_SOFTWARE


def _say(program: str, text: str) -> None:
    print(escaped(f"{program}: {text}"), file=sys.stderr)


def _drop_output() -> None:
    """Write nothing more, not even what is buffered when Python ends."""
    if sys.stdout is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
