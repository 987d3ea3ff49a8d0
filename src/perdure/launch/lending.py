"""`mpi4py.MPI` is `perdure.MPI` in a program: an import hook, set before the program is loaded.

Where mpi4py is installed, its pure-Python parts stay its own and stand on `perdure.MPI`. Where it is not, a package `mpi4py` with `MPI`
and `rc` takes its place. MPI itself is never loaded.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any, Final

from perdure.errors import UsageError

RC: Final[dict[str, Any]] = {
    "initialize": True, "threads": True, "thread_level": "multiple", "finalize": None, "fast_reduce": True, "recv_mprobe": True,
    "irecv_bufsz": 32768, "errors": "exception",
}  # fmt: skip
"""The options of mpi4py 4.1 that programs set before they import `MPI`; they have no meaning here."""


def lend(*, size: int, lent: bool) -> None:
    """Decide what `mpi4py.MPI` means in this process: `perdure.MPI`, or, if not `lent`, an error where `size` is more than 1."""
    take_back()
    sys.meta_path.insert(0, Finder(size=size, lent=lent))


def take_back() -> None:
    """Undo `lend`; what a program has imported stays with it."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]


class Finder(importlib.abc.Loader):
    """Finds `mpi4py.MPI`, and `mpi4py` where it is not installed. A finder and a loader in one."""

    def __init__(self, *, size: int, lent: bool) -> None:
        self._size, self._lent = size, lent

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for the two names; None, so that other finders are asked, for all others."""
        if name == "mpi4py.MPI":
            if self._lent:
                return importlib.machinery.ModuleSpec(name, self)
            if self._size > 1:
                raise UsageError(
                    f"the program imports mpi4py, so with --no-mpi4py it would run as {self._size} jobs of size 1; "
                    "leave --no-mpi4py out, or write from perdure import MPI"
                )
        if name == "mpi4py" and self._lent and not _installed(self):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Leave it to the import system."""
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the package, or put `perdure.MPI` in the place of the module."""
        if module.__name__ == "mpi4py.MPI":
            from perdure import MPI

            sys.modules["mpi4py.MPI"] = MPI
            return
        rc = types.SimpleNamespace(**RC)
        module.__dict__.update(rc=rc, __version__="4.1.0", get_config=dict, profile=lambda *args, **options: None)


def _installed(finder: Finder) -> bool:
    """Would any other finder find mpi4py?"""
    others = [other for other in sys.meta_path if other is not finder and hasattr(other, "find_spec")]
    return any(other.find_spec("mpi4py", None) is not None for other in others)
