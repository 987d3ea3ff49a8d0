"""What goes wrong in a call of the communicator: `MPI.Exception`, with the error classes that mpi4py users know.

It is a `UsageError` as well, so that a program that does not catch it is told in one line what to change.
"""

from __future__ import annotations

import enum
import sys
import traceback
from collections.abc import Callable
from typing import Any

from perdure.errors import UsageError


class ErrorClass(enum.IntEnum):
    """The error classes of MPI 4.1 (section 9.4), in the order of its standard ABI."""

    SUCCESS = 0
    BUFFER = 1
    COUNT = 2
    TYPE = 3
    TAG = 4
    COMM = 5
    RANK = 6
    REQUEST = 7
    ROOT = 8
    GROUP = 9
    OP = 10
    TOPOLOGY = 11
    DIMS = 12
    ARG = 13
    UNKNOWN = 14
    TRUNCATE = 15
    OTHER = 16
    INTERN = 17
    PENDING = 18
    IN_STATUS = 19
    ACCESS = 20
    AMODE = 21
    ASSERT = 22
    BAD_FILE = 23
    BASE = 24
    CONVERSION = 25
    DISP = 26
    DUP_DATAREP = 27
    FILE_EXISTS = 28
    FILE_IN_USE = 29
    FILE = 30
    INFO_KEY = 31
    INFO_NOKEY = 32
    INFO_VALUE = 33
    INFO = 34
    IO = 35
    KEYVAL = 36
    LOCKTYPE = 37
    NAME = 38
    NO_MEM = 39
    NOT_SAME = 40
    NO_SPACE = 41
    NO_SUCH_FILE = 42
    PORT = 43
    PROC_ABORTED = 44
    QUOTA = 45
    READ_ONLY = 46
    RMA_ATTACH = 47
    RMA_CONFLICT = 48
    RMA_RANGE = 49
    RMA_SHARED = 50
    RMA_SYNC = 51
    RMA_FLAVOR = 52
    SERVICE = 53
    SESSION = 54
    SIZE = 55
    SPAWN = 56
    UNSUPPORTED_DATAREP = 57
    UNSUPPORTED_OPERATION = 58
    VALUE_TOO_LARGE = 59
    WIN = 60
    ERRHANDLER = 61
    ABI = 62
    REVOKED = 63
    PROC_FAILED = 64
    PROC_FAILED_PENDING = 65
    LASTCODE = 16383


_classes: dict[int, int] = {int(one): int(one) for one in ErrorClass}
"""Error code -> its class; programs may add both."""
_texts: dict[int, str] = {int(one): f"MPI_ERR_{one.name}: {one.name.lower().replace('_', ' ')}" for one in ErrorClass}
_texts[0] = "MPI_SUCCESS: no error"
_last = int(ErrorClass.LASTCODE)


class MPIException(UsageError, RuntimeError):
    """An error of a call. It compares with error codes: `error == MPI.ERR_TRUNCATE`.

    Attributes:
        error_code: what went wrong; its class, unless a program defined a code of its own.
        text: what happened, and what to do.
    """

    def __init__(self, ierr: int = 0, text: str = "") -> None:
        super().__init__(ierr, text)
        self.error_code = int(ierr) if int(ierr) >= 0 else int(ErrorClass.UNKNOWN)
        self.text = text

    def Get_error_code(self) -> int:
        """The code."""
        return self.error_code

    def Get_error_class(self) -> int:
        """The class of the code."""
        return _classes.get(self.error_code, int(ErrorClass.UNKNOWN))

    def Get_error_string(self) -> str:
        """What happened, in words."""
        return self.text or _texts.get(self.error_code, "an unknown error")

    @property
    def error_class(self) -> int:
        """The class of the code."""
        return self.Get_error_class()

    @property
    def error_string(self) -> str:
        """What happened, in words."""
        return self.Get_error_string()

    def __str__(self) -> str:
        return self.Get_error_string()

    def __repr__(self) -> str:
        return f"MPI.Exception({self.error_code})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error_code, self.text)

    def __int__(self) -> int:
        return self.error_code

    def __bool__(self) -> bool:
        return self.error_code != 0

    def __hash__(self) -> int:
        return hash(self.error_code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | MPIException) and self.error_code == int(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return self.error_code < int(other)

    def __le__(self, other: Any) -> bool:
        return self.error_code <= int(other)

    def __gt__(self, other: Any) -> bool:
        return self.error_code > int(other)

    def __ge__(self, other: Any) -> bool:
        return self.error_code >= int(other)


class ValueException(MPIException, ValueError):
    """An argument with a wrong value: where mpi4py raises a ValueError."""


class TypeException(MPIException, TypeError):
    """An argument of a wrong kind: where mpi4py raises a TypeError."""


def reported(call: Callable[[], Any]) -> Any:
    """Runs a function of the program that the library was given. What it raises is printed, and becomes an `MPI.Exception`."""
    try:
        return call()
    except MPIException:
        traceback.print_exc(file=sys.stderr)
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        traceback.print_exc(file=sys.stderr)
        raise MPIException(ErrorClass.OTHER, f"a function of the program raised {error!r}") from error


def left_out(call: str, why: str) -> NotImplementedError:
    """For calls that perdure does not have."""
    return NotImplementedError(f"perdure does not support MPI.{call}: {why}")


def Get_error_class(errorcode: int) -> int:
    """The class of an error code. ERR_ARG: there is no such code."""
    if errorcode not in _classes:
        raise MPIException(ErrorClass.ARG, f"unknown error code {errorcode}")
    return _classes[errorcode]


def Get_error_string(errorcode: int) -> str:
    """An error code in words."""
    Get_error_class(errorcode)
    return _texts[errorcode]


def Add_error_class() -> int:
    """A class of the program's own."""
    return _add(None)


def Add_error_code(errorclass: int) -> int:
    """A code of the program's own, of a class that is there."""
    Get_error_class(errorclass)
    return _add(errorclass)


def Add_error_string(errorcode: int, string: str) -> None:
    """The words for a code of the program's own."""
    Get_error_class(errorcode)
    if errorcode <= ErrorClass.LASTCODE:
        raise MPIException(ErrorClass.ARG, f"this program did not add the error code {errorcode}")
    _texts[errorcode] = string


def Remove_error_class(errorclass: int) -> None:
    """Takes back `Add_error_class`."""
    if errorclass in _classes and any(its == errorclass and code != errorclass for code, its in _classes.items()):
        raise MPIException(ErrorClass.OTHER, f"the error class {errorclass} has codes")
    _remove(errorclass)


def Remove_error_code(errorcode: int) -> None:
    """Takes back `Add_error_code`."""
    _remove(errorcode)


def Remove_error_string(errorcode: int) -> None:
    """Takes back `Add_error_string`."""
    Get_error_class(errorcode)
    if errorcode <= ErrorClass.LASTCODE or not _texts[errorcode]:
        raise MPIException(ErrorClass.OTHER, f"the error code {errorcode} has no error string that the program added")
    _texts[errorcode] = ""


def _add(errorclass: int | None) -> int:
    global _last
    _last += 1
    _classes[_last] = _last if errorclass is None else errorclass
    _texts[_last] = ""
    return _last


def _remove(code: int) -> None:
    global _last
    Get_error_class(code)
    if code <= ErrorClass.LASTCODE:
        raise MPIException(ErrorClass.OTHER, f"this program did not add the error code {code}")
    if _texts[code]:
        raise MPIException(ErrorClass.OTHER, f"the error code {code} still has its error string")
    del _classes[code], _texts[code]
    if code == _last:
        _last -= 1


def last_used_code() -> int:
    """The attribute LASTUSEDCODE."""
    return _last
