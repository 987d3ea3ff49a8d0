"""`MPI.Status`: who sent a message, with which tag, and how much."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.comm.datatypes.buffers import as_datatype
from perdure.comm.datatypes.datatype import BYTE, Datatype
from perdure.comm.definitions.constants import ANY_SOURCE, ANY_TAG, UNDEFINED

_SOURCE, _TAG, _ERROR, _CANCELLED, _NBYTES = range(5)


class Status:
    """Five integers."""

    __module__ = "perdure.MPI"

    def __new__(cls, status: Status | None = None) -> Any:
        """A fresh one, or a copy."""
        self = super().__new__(cls)
        if status is not None and not isinstance(status, Status):
            raise TypeError(f"expected a Status, not {type(status).__name__}")
        self._fields = np.array([ANY_SOURCE, ANY_TAG, 0, 0, 0], np.int64) if status is None else status._fields.copy()
        return self

    _fields: NDArray[np.int64]

    def fill(self, source: int, tag: int, nbytes: int, *, cancelled: bool = False, error: int = 0) -> None:
        """What a call found."""
        self._fields[:] = source, tag, error, cancelled, nbytes

    def Get_source(self) -> int:
        """The sender's rank."""
        return int(self._fields[_SOURCE])

    def Set_source(self, source: int) -> None:
        """Sets the sender's rank."""
        self._fields[_SOURCE] = source

    def Get_tag(self) -> int:
        """The message's tag."""
        return int(self._fields[_TAG])

    def Set_tag(self, tag: int) -> None:
        """Sets the tag."""
        self._fields[_TAG] = tag

    def Get_error(self) -> int:
        """An error code."""
        return int(self._fields[_ERROR])

    def Set_error(self, error: int) -> None:
        """Sets the error code."""
        self._fields[_ERROR] = error

    def Get_count(self, datatype: Datatype | str = BYTE) -> int:
        """Whole elements of a datatype in the message; UNDEFINED: there is not a whole number of them."""
        size = self._size(datatype)
        nbytes = int(self._fields[_NBYTES])
        if size == 0:
            return 0 if nbytes == 0 else UNDEFINED
        return nbytes // size if nbytes % size == 0 else UNDEFINED

    def Get_elements(self, datatype: Datatype | str) -> int:
        """Basic elements in the message."""
        kind = as_datatype(datatype).held()
        size = kind.dtype.itemsize if kind.dtype is not None and kind.dtype.names is None else kind.map.size
        return int(self._fields[_NBYTES]) // size if size else 0

    def Set_elements(self, datatype: Datatype | str, count: int) -> None:
        """Says how many elements there are."""
        self._fields[_NBYTES] = self._size(datatype) * count

    def Is_cancelled(self) -> bool:
        """Was it cancelled?"""
        return bool(self._fields[_CANCELLED])

    def Set_cancelled(self, flag: bool) -> None:
        """Says whether it was cancelled."""
        self._fields[_CANCELLED] = bool(flag)

    def _size(self, datatype: Datatype | str) -> int:
        return as_datatype(datatype).Get_size()

    source = property(Get_source, Set_source)
    tag = property(Get_tag, Set_tag)
    error = property(Get_error, Set_error)
    cancelled = property(Is_cancelled, Set_cancelled)

    @property
    def count(self) -> int:
        """Bytes in the message."""
        return self.Get_count(BYTE)

    @count.setter
    def count(self, value: int) -> None:
        self.Set_elements(BYTE, value)

    def tomemory(self) -> memoryview:
        """The five integers themselves."""
        return self._fields.data

    def py2f(self) -> list[int]:
        """As Fortran has it."""
        return [int(field) for field in self._fields]

    @classmethod
    def f2py(cls, arg: list[int]) -> Any:
        """From what `py2f` gave."""
        status = cls()
        status._fields[:] = arg
        return status

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Status) and bool((self._fields == other._fields).all())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        raise TypeError("unhashable type: Status")

    def __reduce__(self) -> Any:
        return type(self), (), self.__getstate__()

    def __getstate__(self) -> Any:
        return {"fields": self.py2f()}

    def __setstate__(self, state: Any) -> None:
        self._fields[:] = state["fields"]
