"""What perdure has not, by the names that programs know: one-sided communication, files, sessions, dynamic processes.

Each class has its null handle, so that a program can name and compare it; whatever it calls raises `NotImplementedError`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from perdure.comm.definitions.failures import ErrorClass, left_out
from perdure.comm.definitions.handles import Handle


class _LeftOut(type):
    """Every call of such a class raises; but dunder names mean what they mean to Python."""

    why: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def refuse(*arguments: Any, **options: Any) -> Any:
            raise left_out(f"{cls.__name__}.{name}", cls.why)

        return refuse


class _Nothing(Handle[Any], metaclass=_LeftOut):
    """What the three have in common: their calls raise on the null handle too."""

    why = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(type(self), name)


class Win(_Nothing):
    """Memory that other ranks write to."""

    null_class = ErrorClass.WIN
    __module__ = "perdure.MPI"
    why = "perdure has no one-sided communication: exchange messages"


class File(_Nothing):
    """A file of all ranks."""

    null_class = ErrorClass.FILE
    __module__ = "perdure.MPI"
    why = "perdure has no parallel files: use another library, and declare the state that must survive with job"


class Session(_Nothing):
    """A way to start the library."""

    null_class = ErrorClass.SESSION
    __module__ = "perdure.MPI"
    why = "a job is the only session"


def _null(cls: type[Handle[Any]], name: str) -> Any:
    handle = cls()
    handle.constant = name
    return handle


WIN_NULL: Final[Win] = _null(Win, "WIN_NULL")
FILE_NULL: Final[File] = _null(File, "FILE_NULL")
SESSION_NULL: Final[Session] = _null(Session, "SESSION_NULL")
CONSTANTS: Final = {
    name: value
    for value, name in enumerate(
        (
            "MODE_NOCHECK", "MODE_NOSTORE", "MODE_NOPUT", "MODE_NOPRECEDE", "MODE_NOSUCCEED", "MODE_RDONLY", "MODE_WRONLY", "MODE_RDWR",
            "MODE_CREATE", "MODE_EXCL", "MODE_DELETE_ON_CLOSE", "MODE_UNIQUE_OPEN", "MODE_SEQUENTIAL", "MODE_APPEND", "SEEK_SET",
            "SEEK_CUR", "SEEK_END", "LOCK_EXCLUSIVE", "LOCK_SHARED", "WIN_BASE", "WIN_SIZE", "WIN_DISP_UNIT", "WIN_CREATE_FLAVOR",
            "WIN_MODEL", "WIN_FLAVOR_CREATE", "WIN_FLAVOR_ALLOCATE", "WIN_FLAVOR_DYNAMIC", "WIN_FLAVOR_SHARED", "WIN_SEPARATE",
            "WIN_UNIFIED", "DISPLACEMENT_CURRENT", "MAX_PSET_NAME_LEN", "DISP_CUR", "WIN_FLAVOR",
        ),
        start=1,
    )
}  # fmt: skip
"""Their constants, so that a program that names one can be imported."""
_NO_C: Final = "perdure's objects are Python objects without a C handle or address"
_NO_PORTS: Final = "perdure has no dynamic processes"
_FUNCTIONS: Final = {
    "_sizeof": _NO_C,
    "_addressof": _NO_C,
    "_handleof": _NO_C,
    "_datatype_create": "use Datatype.Create_...",
    "_datatype_decode": "use Datatype.decode",
    "_comm_lock_table": "use _comm_lock",
    "Close_port": _NO_PORTS,
    "Unpublish_name": _NO_PORTS,
    "Register_datarep": "it is part of parallel files, which perdure does not have",
}


def _refusing(name: str, why: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise left_out(name, why)

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


FUNCTIONS: Final = {name: _refusing(name, why) for name, why in _FUNCTIONS.items()}
"""Functions of the module that raise when they are called."""
