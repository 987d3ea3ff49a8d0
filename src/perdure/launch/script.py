"""A script: a file that Python runs from top to bottom, as it would run it by itself.

What is decided here, from the file's text alone, is whether a file is a script or a program with a `main` of perdure's. A script has a
`__main__` of its own, `sys.argv`, standard input on rank 0, exit statuses and `atexit` handlers. It runs anew in each generation.

On the engine `threads` all ranks share one process, so there a script gets a namespace and no entry in `sys.modules`.
"""

from __future__ import annotations

import ast
import atexit
import importlib.machinery
import os
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.errors import GenerationRevoked, ProgramExited, UsageError

STATUS_MASK: Final = 0xFF
"""An operating system keeps the lowest eight bits of an exit status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Called once a generation. `perdure.current()` is its job, `MPI.COMM_WORLD` its ranks.

    Attributes:
        code: of the whole file.
        path: of the file.
        words: `sys.argv` after the path.
        protected: the file names `perdure.current`, so it may declare state.
        package: what its relative imports start from, or empty.
        spec: of the module, when it was named as one.
        stdin: a copy of standard input as the process was started with it, or -1.
    """

    code: types.CodeType
    path: str
    words: Sequence[str]
    protected: bool
    package: str = ""
    spec: importlib.machinery.ModuleSpec | None = None
    stdin: int = -1
    handlers: list[Handler] = field(default_factory=list)
    """Registered with `atexit` in this process and not run yet."""

    def __call__(self, job: Any) -> None:
        """Run the script to its end, and then what it registered with `atexit`."""
        if not self.protected and job.rank == 0 and job.generation == 1:
            name = os.path.basename(self.path)
            print(f"perdure: {name} declares no state, so it is not protected: after a loss it starts from the beginning", file=sys.stderr)
        module = self._module()
        sys.argv = [self.path, *self.words]
        if threading.current_thread() is not threading.main_thread():
            self._run(module, job.rank)
            return
        sys.modules["__main__"] = module
        if self.stdin >= 0:
            give_input(self.stdin, job.rank, job.generation)
        with recorded(self.handlers, module):
            self._run(module, job.rank)
            run_handlers(self.handlers)

    def _module(self) -> types.ModuleType:
        module = types.ModuleType("__main__")
        module.__file__ = self.path
        module.__dict__.update(__builtins__=__builtins__, __cached__=None, __package__=self.package or None, __spec__=self.spec)
        return module

    def _run(self, module: types.ModuleType, rank: int) -> None:
        try:
            exec(self.code, module.__dict__)
        except SystemExit as end:
            status = status_of(end)
            if status:
                raise ProgramExited(f"the program exited on rank {rank} with exit status {status}") from None


def status_of(end: SystemExit) -> int:
    """Return the exit status that Python would end with, 0 to 255. A text is printed to standard error."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & STATUS_MASK
    print(end.code, file=sys.stderr)
    return 1


# ---- is it a script? --------------------------------------------------------------------------------------------------------


def has_job_main(tree: ast.Module, name: str) -> bool:
    """Return whether the file defines a `main` for perdure: its first parameter is `job`, or annotated as `perdure.Job`.

    A `main` that is imported or assigned is perdure's when the file itself never mentions it again.

    Raises:
        UsageError: a `main` without a job is defined, and the file never mentions it again, so that nothing would run.
    """
    found: ast.stmt | None = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            continue
        found = node if "main" in names else found
    if isinstance(found, ast.FunctionDef) and _takes_job(found):
        return True
    if found is None or _mentions(tree, "main"):
        return False
    if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
        raise UsageError(
            f"the first parameter of main in {name}, line {found.lineno}, is not named job, and the file does not call main: "
            f"write def main(job, ...), or name the function as {name}:main"
        )
    return True


def _takes_job(function: ast.FunctionDef) -> bool:
    parameters = [*function.args.posonlyargs, *function.args.args]
    if not parameters:
        return False
    note = parameters[0].annotation
    text = note.value if isinstance(note, ast.Constant) else ast.unparse(note) if note else ""
    return parameters[0].arg == "job" or text in ("perdure.Job", "Job")


def _mentions(tree: ast.Module, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) for node in ast.walk(tree))


def names(tree: ast.Module, name: str) -> bool:
    """Return whether the file uses `perdure.<name>`, or imports `name`."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr == name) or (isinstance(node, ast.alias) and node.name == name)
        for node in ast.walk(tree)
    )


# ---- standard input ---------------------------------------------------------------------------------------------------------


def give_input(stdin: int, rank: int, generation: int) -> None:
    """Make standard input of `stdin` on rank 0, and empty elsewhere.

    A file is opened anew in each generation and read from where it stood. What came through a pipe is gone after a recovery, so reading
    from it then is an error.
    """
    sys.stdin = None
    try:
        start = os.lseek(stdin, 0, os.SEEK_CUR) if rank == 0 else 0
    except OSError:
        start = -1
    if rank != 0 or os.isatty(stdin):
        source = os.open(os.devnull, os.O_RDONLY)
    elif start >= 0:
        source = os.open(f"/proc/self/fd/{stdin}", os.O_RDONLY)
        if start:
            os.lseek(source, start, os.SEEK_SET)
    elif generation == 1:
        source = os.dup(stdin)
    else:
        source = os.open(os.devnull, os.O_WRONLY)
    os.dup2(source, 0)
    os.close(source)
    sys.stdin = open(0, closefd=False) if start >= 0 or generation == 1 else _SpentInput()  # noqa: SIM115


class _SpentInput:
    """Standard input of a later generation, when it was a pipe."""

    def __getattr__(self, name: str) -> Any:
        raise UsageError("standard input is a pipe, which cannot be read again after a recovery: redirect it from a file")

    def __iter__(self) -> Iterator[str]:
        return self.__getattr__("readline")  # type: ignore[no-any-return]


# ---- atexit -----------------------------------------------------------------------------------------------------------------

Handler = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


@contextmanager
def recorded(handlers: list[Handler], module: types.ModuleType) -> Iterator[None]:
    """Note in `handlers` what is registered with `atexit`: the worker's process ends without running handlers.

    What the script registers itself is forgotten when its generation is revoked. What libraries register while they are imported is
    kept, because the next generation does not import them again.
    """
    register, unregister = atexit.register, atexit.unregister
    own: list[Handler] = []

    def note(function: Any, /, *args: Any, **kwargs: Any) -> Any:
        handler = function, args, kwargs
        handlers.append(handler)
        if sys._getframe(1).f_globals is module.__dict__:
            own.append(handler)
        return function

    def forget(function: Any) -> None:
        handlers[:] = [handler for handler in handlers if handler[0] != function]
        unregister(function)

    atexit.register, atexit.unregister = note, forget
    try:
        yield
    except GenerationRevoked:
        handlers[:] = [handler for handler in handlers if not any(handler is one for one in own)]
        raise
    finally:
        atexit.register, atexit.unregister = register, unregister


def run_handlers(handlers: list[Handler]) -> None:
    """Call the handlers, the last registered first. An error of one is printed, as Python does, and the others are called."""
    while handlers:
        function, args, kwargs = handlers.pop()
        try:
            function(*args, **kwargs)
        except Exception:
            print(f"Exception ignored in atexit callback {function!r}:", file=sys.stderr)
            traceback.print_exc()
