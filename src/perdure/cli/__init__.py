"""The command `perdure` and its subcommands, and their output.

An error is one line on standard error, which begins with `perdure: error:` and describes what to do. The exit status shows who must act:
0 success, 1 the program failed, 2 wrong usage of the command or of perdure by the program, 3 more was lost than parity can rebuild.
`perdure` without a command prints its help and exits with 2, because a script that runs it has forgotten the command.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any, NoReturn

import typer

from perdure.cli.commands import app
from perdure.errors import PerdureError, ProgramExited, ProgramFailed

__all__ = ["app", "main"]

COMMAND_LINE_ERROR: Any = typer.BadParameter.__mro__[2]
"""Click's ClickException, which newer versions of typer bring along under a private name."""

CANNOT_WRITE = (errno.ENOSPC, errno.EPIPE, errno.EIO)

INTERRUPTED = 130
"""The exit status after Ctrl-C; newer versions of typer catch the interrupt and exit with it themselves."""


def main() -> NoReturn:
    """The entry point of the command."""
    _have_standard_streams()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
        print(f"perdure: error: cannot write to standard output: {error.strerror}", file=sys.stderr)
        status = 1
    except ProgramExited as error:
        print(f"perdure: error: {error}", file=sys.stderr)
        status = error.exit_status
    except ProgramFailed as error:
        print(_failure(error), file=sys.stderr)
        status = error.exit_status
    except PerdureError as error:
        print(f"perdure: error: {error}", file=sys.stderr)
        status = error.exit_status
    except typer.Exit as error:
        status = error.exit_code
    except COMMAND_LINE_ERROR as error:
        text = error.format_message()  # empty: a command without arguments, and its help is printed already
        if text:
            print(f"perdure: error: {text} (see `perdure --help`)", file=sys.stderr)
        status = 2
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status == INTERRUPTED:
        print("perdure: interrupted; all processes of the job have exited", file=sys.stderr)
    sys.exit(status)


def _failure(error: ProgramFailed) -> str:
    """A rank that is a process has written its traceback already; the text repeats it after the first line."""
    text = str(error)
    summary, _, rest = text.partition("\n")
    if rest.startswith("Traceback") and error.__cause__ is None:
        return f"perdure: error: the program failed: {summary}; its traceback is above"
    return f"{text}\nperdure: error: the program failed; its error is above"


def _have_standard_streams() -> None:
    """Open closed standard descriptors, so that no pipe of perdure gets their numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _terminated(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)
