"""`mpi4py.run`: runs a script, a module or a text as Python's own command line does.

    perdure run -m mpi4py.run --ranks 4 -- script.py ARGUMENT ...

An error that is not caught ends the job, as it does in every program of perdure.
"""

from __future__ import annotations

import os
import runpy
import sys
import types
from collections.abc import Sequence
from typing import Any

from perdure import MPI

USAGE = "usage: perdure run -m mpi4py.run --ranks N -- SCRIPT | -m MODULE | -c TEXT | - [ARGUMENT ...]"


def run_command_line(args: Sequence[str] | None = None) -> None:
    """Run `SCRIPT`, `-m MODULE`, `-c TEXT`, or `-` (standard input), with the arguments that follow. None: those of `sys.argv`."""
    words = list(sys.argv[1:] if args is None else args)
    if not words:
        sys.exit(USAGE)
    first, *rest = words
    if first in ("-m", "-c"):
        if not rest:
            sys.exit(f"the option {first} needs an argument\n{USAGE}")
        what, *rest = rest
    sys.argv[:] = [first, *rest]
    if first == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif first == "-c":
        _run_text(what, "<string>")
    elif first == "-":
        _run_text(sys.stdin.read(), "<stdin>")
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(first))
        runpy.run_path(first, run_name="__main__")


def set_abort_status(status: Any) -> None:
    """Ignore the status: an uncaught error ends the job with its own status."""


def main() -> None:
    """Run the command of `perdure run -m mpi4py.run`."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(USAGE)
    elif sys.argv[1:2] == ["--version"]:
        print("mpi4py of", MPI.Get_library_version())
    else:
        run_command_line()


def _run_text(text: str, name: str) -> None:
    module = types.ModuleType("__main__")
    before, sys.modules["__main__"] = sys.modules["__main__"], module
    try:
        exec(compile(text, name, "exec", dont_inherit=True), module.__dict__)
    finally:
        sys.modules["__main__"] = before


if __name__ == "__main__":
    main()
