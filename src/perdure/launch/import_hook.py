"""`mpi4py.MPI` is `perdure.MPI` in a program: an import hook, set before the program is loaded.

Where mpi4py is not installed, a package `mpi4py` with `rc` takes its place. MPI itself is never loaded. `mpi4py.util.pkl5`,
`mpi4py.util.dtlib`, `mpi4py.run` and `mpi4py.typing` are modules of `perdure.lent`, whether mpi4py is installed or not. A module that needs
a call which is left out is refused when it is imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import types
import warnings
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from perdure.errors import UsageError

RC: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "initialize": (True, (True, False)),
    "threads": (True, (True, False)),
    "thread_level": ("multiple", ("multiple", "serialized", "funneled", "single")),
    "finalize": (None, (None, True, False)),
    "fast_reduce": (True, (True, False)),
    "recv_mprobe": (True, (True, False)),
    "irecv_bufsz": (32768, ()),
    "errors": ("exception", ("exception", "default", "abort", "fatal")),
}
"""The options of mpi4py 4.1 that programs set before they import `MPI`: their defaults and values. Only `initialize` has a meaning here."""
PARTS: Final = {"mpi4py.util.pkl5": "pkl5.py", "mpi4py.util.dtlib": "dtlib.py", "mpi4py.run": "run.py", "mpi4py.typing": "typing.py"}
"""Module -> its file in `perdure/lent`."""
REFUSED: Final = {
    "mpi4py.futures": "it needs intercommunicators; send tasks from rank 0 to the other ranks, or use concurrent.futures in a rank",
    "mpi4py.util.pool": "it needs intercommunicators; send tasks from rank 0 to the other ranks, or use multiprocessing.pool in a rank",
    "mpi4py.util.sync": "its counters and locks need one-sided communication; use one rank that answers messages",
}
"""Module -> why there is none, and what to do."""
WITHOUT_MPI4PY: Final = {"mpi4py.bench": "install mpi4py, whose benchmarks run with perdure too, or use `perdure bench comm`"}
"""Module -> what to do where mpi4py is not installed."""
_TRUE, _FALSE = ("true", "yes", "on", "y", "1"), ("false", "no", "off", "n", "0")


def lend(*, size: int, lent: bool) -> None:
    """Decide what `mpi4py.MPI` means in this process: `perdure.MPI`, or, if not `lent`, an error where `size` is more than 1."""
    take_back()
    sys.meta_path.insert(0, Finder(size=size, lent=lent))


def take_back() -> None:
    """Undo `lend`; what a program has imported stays with it."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]


class Finder(importlib.abc.Loader):
    """Finds `mpi4py.MPI`, the parts that are lent, and `mpi4py` where it is not installed. A finder and a loader in one."""

    def __init__(self, *, size: int, lent: bool) -> None:
        self._size, self._lent = size, lent

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for the names that are lent; None, so that other finders are asked, for all others. ImportError: it is refused."""
        if not name.startswith("mpi4py"):
            return None
        if not self._lent:
            if name == "mpi4py.MPI" and self._size > 1:
                raise UsageError(
                    f"the program imports mpi4py, so with --no-mpi4py it would run as {self._size} jobs of size 1; "
                    "omit --no-mpi4py, or write from perdure import MPI"
                )
            return None
        if name in REFUSED:
            raise ImportError(f"perdure does not support {name}: {REFUSED[name]}", name=name)
        if name in PARTS:
            return importlib.util.spec_from_file_location(name, pathlib.Path(__file__).parents[1] / "lent" / PARTS[name])
        if name == "mpi4py.MPI":
            return importlib.machinery.ModuleSpec(name, self)
        if name in WITHOUT_MPI4PY and not _installed(self):
            raise ImportError(f"perdure does not provide {name}: {WITHOUT_MPI4PY[name]}", name=name)
        if name in ("mpi4py", "mpi4py.util") and not _installed(self):
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
            read_options(getattr(sys.modules.get("mpi4py"), "rc", None))
        elif module.__name__ == "mpi4py":
            rc = sys.modules["mpi4py.rc"] = Options("mpi4py.rc")
            module.__dict__.update(
                rc=rc, __version__="4.1.0", get_config=dict, profile=lambda *args, **options: None, get_include=_get_include
            )  # fmt: skip


class Options(types.ModuleType):
    """`mpi4py.rc`: attributes, which a call sets too."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self(**{option: default for option, (default, _) in RC.items()})

    def __call__(self, **options: Any) -> None:
        """Set options. TypeError: there is no such one."""
        for option, value in options.items():
            if option not in RC:
                raise TypeError(f"unknown option mpi4py.rc.{option}: the options are {', '.join(RC)}")
            setattr(self, option, value)


def _get_include() -> NoReturn:
    raise NotImplementedError(
        "perdure does not provide mpi4py.get_include, because it has no C headers; install mpi4py to build against it"
    )


def read_options(rc: Any) -> None:
    """Take options from the environment, as mpi4py does when `MPI` is imported, and warn of unknown values."""
    for option, (default, values) in RC.items():
        text = os.environ.get(f"MPI4PY_RC_{option.upper()}")
        if rc is not None and text is not None:
            setattr(rc, option, _value(text, default, values))
        value = getattr(rc, option, default)
        if not (isinstance(value, int) and value >= 0 if not values else value in values):
            warnings.warn(f"mpi4py.rc.{option}: unexpected value {value!r}", stacklevel=2)
    from perdure.comm.datatypes.pickles import pickle

    pickle.PROTOCOL = int(os.environ.get("MPI4PY_PICKLE_PROTOCOL", pickle.PROTOCOL or 0)) or None
    pickle.THRESHOLD = int(os.environ.get("MPI4PY_PICKLE_THRESHOLD", pickle.THRESHOLD))


def _value(text: str, default: Any, values: tuple[Any, ...]) -> Any:
    if True in values and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    return int(text) if isinstance(default, int) and text.isdecimal() else text


def _installed(finder: Finder) -> bool:
    """Would any other finder find mpi4py?"""
    others = [other for other in sys.meta_path if other is not finder and hasattr(other, "find_spec")]
    return any(other.find_spec("mpi4py", None) is not None for other in others)
