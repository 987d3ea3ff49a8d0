"""`MPI.buffer`: bytes of memory that can be indexed, sliced and assigned from any other buffer.

A class in Python can offer its memory to others only from Python 3.12 on; so this is an array of bytes that behaves as mpi4py's does.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from perdure.comm.datatypes.memory import is_buffer, memory_of


class buffer(np.ndarray[Any, Any]):  # noqa: N801 - programs know it as MPI.buffer
    """(n,) uint8."""

    __module__ = "perdure.MPI"
    obj: Any = None
    """Whose memory it is."""
    _released = False

    def __new__(cls, buf: Any = b"") -> buffer:
        """Over the memory of another buffer."""
        if not is_buffer(buf):
            raise TypeError(f"a bytes-like object is required, not {type(buf).__name__}")
        data = memory_of(buf, writable=False).data
        self = data.view(cls)
        self.obj = buf if data.size else None
        return self

    @classmethod
    def allocate(cls, nbytes: int, clear: bool = False) -> buffer:
        """Fresh memory."""
        if not isinstance(nbytes, int | np.integer):
            raise TypeError("the size of a buffer must be an integer")
        if nbytes < 0:
            raise ValueError("expecting non-negative size")
        data = np.zeros(nbytes, np.uint8)
        self = data.view(cls)
        self.obj = data
        return self

    @classmethod
    def frombuffer(cls, obj: Any, readonly: bool = False) -> buffer:
        """Over the memory of another buffer."""
        if not is_buffer(obj):
            raise TypeError(f"a bytes-like object is required, not {type(obj).__name__}")
        memory_of(obj, writable=not readonly)
        self = cls(obj)
        self.flags.writeable = not readonly
        return self

    @classmethod
    def fromaddress(cls, address: int, nbytes: int, readonly: bool = False) -> buffer:
        """Over memory at an address of this process, whose owner must keep it."""
        if nbytes < 0:
            raise ValueError("expecting non-negative buffer length")
        if nbytes > 0 and address == 0:
            raise ValueError("expecting non-NULL address")
        self = cls((ctypes.c_uint8 * nbytes).from_address(address)) if nbytes else cls()
        self.flags.writeable = not readonly
        return self

    @property
    def address(self) -> int:
        """Where it lies in memory; 0 when there is none."""
        return 0 if self._released or self.obj is None else int(self.__array_interface__["data"][0])

    @property
    def readonly(self) -> bool:
        """May it not be changed?"""
        return not self._released and self.size > 0 and not self.flags.writeable

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        return 0 if self._released else self.size

    def __array_finalize__(self, source: Any) -> None:
        """A part of one has the same owner."""
        self.obj = getattr(source, "obj", None)

    def tobytes(self, order: str | None = None) -> bytes:
        """A copy."""
        return super().tobytes()

    @property
    def format(self) -> str:
        """Bytes."""
        return "B"

    def cast(self, format: str, shape: Any = None) -> memoryview:
        """As elements of another kind."""
        view = self.data.cast(format)  # type: ignore[call-overload]
        return view if shape is None else view.cast("B").cast(format, shape)  # type: ignore[no-any-return]

    def toreadonly(self) -> buffer:
        """The same memory, not to be changed."""
        other = self.view(buffer)
        other.flags.writeable = False
        return other

    def release(self) -> None:
        """Forgets whose memory it is."""
        self.obj, self._released = None, True

    def __delitem__(self, item: Any) -> None:
        raise NotImplementedError("bytes of a buffer cannot be deleted")

    def __getitem__(self, item: Any) -> Any:
        if item is None:
            raise TypeError("index must be integer or slice")
        if isinstance(item, slice) and item.step not in (None, 1):
            raise IndexError("slice with step not supported")
        found: Any = super().__getitem__(item)
        return found if isinstance(found, np.ndarray) else int(found)

    def __setitem__(self, item: Any, value: Any) -> None:
        if self.readonly:
            raise TypeError("buffer is read-only")
        if item is None:
            raise TypeError("index must be integer or slice")
        if isinstance(item, slice) and item.step not in (None, 1):
            raise IndexError("slice with step not supported")
        if not isinstance(item, slice) or isinstance(value, int):
            super().__setitem__(item, value)
            return
        data = memory_of(value, writable=False).data
        if len(data) != len(range(*item.indices(self.size))):
            raise ValueError("slice length does not match buffer")
        super().__setitem__(item, data)
