"""The memory of what programs give as buffers: NumPy arrays, anything with the buffer protocol, and other libraries' arrays.

All become (n,) uint8 arrays over the same memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.datatypes.array_interfaces import BufferException, from_dlpack, from_interface
from perdure.comm.definitions.constants import BOTTOM
from perdure.comm.definitions.failures import ErrorClass, TypeException

Bytes = NDArray[np.uint8]
_NOTHING: Final[Bytes] = np.zeros(0, np.uint8)


@dataclass(slots=True)
class Memory:
    """`data` (n,) uint8, borrowed; `code` is the type code of its elements, None for what has none."""

    data: Bytes
    code: str | None
    of_nothing: bool = False


def is_buffer(thing: Any) -> bool:
    """Is it one that `memory_of` takes?"""
    if isinstance(thing, np.ndarray | bytes | bytearray | memoryview):
        return True
    if isinstance(thing, list | tuple | str | dict | type) or thing is None:
        return False
    try:
        memoryview(thing).release()
    except TypeError:
        return hasattr(thing, "__dlpack__") or hasattr(thing, "__cuda_array_interface__")
    except (BufferError, ValueError):
        return True
    return True


def memory_of(thing: Any, *, writable: bool) -> Memory:
    """The memory. `MPI.Exception`: not contiguous, read-only, on a device, or no buffer at all."""
    if thing is None or thing is BOTTOM:
        return Memory(_NOTHING, None, of_nothing=True)
    if isinstance(thing, np.ndarray):
        return _of_array(thing, writable)
    try:
        view = memoryview(thing)
    except (TypeError, ValueError):
        if hasattr(thing, "__dlpack__"):
            return Memory(*from_dlpack(thing, writable=writable))
        if hasattr(thing, "__cuda_array_interface__"):
            return Memory(*from_interface(thing, writable=writable))
        raise TypeException(
            ErrorClass.BUFFER,
            f"a buffer must be a NumPy array or similar, not {type(thing).__name__}: use the lower-case call for objects",
        ) from None
    if not view.contiguous:
        raise _not_contiguous()
    if writable and view.readonly:
        raise _read_only()
    code = view.format.removeprefix("@").removeprefix("<") if view.format else "B"
    return Memory(np.frombuffer(view, np.uint8) if view.nbytes else _NOTHING, code)


def _of_array(array: NDArray[Any], writable: bool) -> Memory:
    dtype = array.dtype
    if dtype.hasobject:
        raise TypeException(ErrorClass.TYPE, "an array of Python objects cannot be sent as a buffer: use the lower-case call")
    if writable and not array.flags.writeable:
        raise _read_only()
    if not array.flags.c_contiguous:
        if not array.flags.f_contiguous:
            raise _not_contiguous()
        array = array.T
    code: str | None = dtype.char if dtype.kind in "biufc" else None
    if not dtype.isnative:
        code = dtype.str
    if dtype.kind in "SU" and dtype.itemsize <= 4:
        code = dtype.str.lstrip("<>|=")
    return Memory(array.reshape(-1).view(np.uint8) if array.size else _NOTHING, code)


def _read_only() -> BufferException:
    return BufferException(ErrorClass.BUFFER, "the receive buffer is read-only")


def _not_contiguous() -> BufferException:
    return BufferException(ErrorClass.BUFFER, "a buffer must be contiguous: use np.ascontiguousarray(x), or a datatype")
