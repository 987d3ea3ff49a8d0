"""The memory of what programs give as buffers: NumPy arrays, anything with the buffer protocol, DLPack, and the CUDA array interface.

All become (n,) uint8 arrays over the same memory. Memory of a device is refused: it is to be copied to the host first.
"""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.constants import BOTTOM
from perdure.comm.failures import ErrorClass, TypeException, ValueException
from perdure.comm.transports.direct import readable

Bytes = NDArray[np.uint8]
_NOTHING: Final[Bytes] = np.zeros(0, np.uint8)
_ON_THE_HOST: Final = (1, 3, 11, 13)
"""DLPack's kinds of memory that the processor can reach: CPU, CUDA pinned, ROCm pinned, CUDA managed."""


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
            return _of_dlpack(thing, writable)
        if hasattr(thing, "__cuda_array_interface__"):
            return _of_interface(thing.__cuda_array_interface__, writable)
        raise TypeException(
            ErrorClass.BUFFER,
            f"a buffer must be a NumPy array or the like, not {type(thing).__name__}: use the lower-case call for objects",
        ) from None
    if not view.contiguous:
        raise _not_contiguous()
    if writable and view.readonly:
        raise _read_only()
    code = view.format.removeprefix("@").removeprefix("<") if view.format else "B"
    return Memory(
        np.frombuffer(view.cast("B") if view.nbytes and view.format == "B" else view, np.uint8) if view.nbytes else _NOTHING, code
    )


def _of_array(array: NDArray[Any], writable: bool) -> Memory:
    if array.dtype.hasobject:
        raise TypeException(ErrorClass.TYPE, "an array of Python objects cannot be sent as a buffer: use the lower-case call")
    if writable and not array.flags.writeable:
        raise _read_only()
    if not array.flags.c_contiguous:
        if not array.flags.f_contiguous:
            raise _not_contiguous()
        array = array.T
    code: str | None = array.dtype.char if array.dtype.isnative and array.dtype.kind in "biufc" else None
    if array.dtype.kind in "SU" and array.dtype.itemsize <= 4:
        code = array.dtype.str.lstrip("<>|=")
    return Memory(array.reshape(-1).view(np.uint8) if array.size else _NOTHING, code)


def _of_dlpack(thing: Any, writable: bool) -> Memory:
    device, _ = thing.__dlpack_device__()
    if device not in _ON_THE_HOST:
        raise _on_a_device()
    try:
        array = np.from_dlpack(thing)
    except (BufferError, TypeError, ValueError, RuntimeError) as error:
        raise ValueException(ErrorClass.BUFFER, f"this DLPack buffer cannot be used: {error}") from None
    memory = _of_array(array, writable=False)
    if writable and not memory.data.flags.writeable and memory.data.size:
        # NumPy takes capsules of the first version as read-only, because those could not say whether they are.
        if getattr(thing, "readonly", False):
            raise _read_only()
        memory.data = _at(memory.data.__array_interface__["data"][0], memory.data.size, array)
    return memory


def _of_interface(interface: dict[str, Any], writable: bool) -> Memory:
    """The CUDA array interface, of memory that lies on the host all the same (pinned, managed)."""
    address, readonly = interface["data"]
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    strides = interface.get("strides")
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if strides is not None and not _in_a_row(shape, tuple(strides), dtype.itemsize):
        raise _not_contiguous()
    if interface.get("mask") is not None:
        raise ValueException(ErrorClass.BUFFER, "a masked array cannot be sent as a buffer")
    if writable and readonly:
        raise _read_only()
    if not readable(address or 0, nbytes):
        raise _on_a_device()
    return Memory(_at(address, nbytes, interface), dtype.str.lstrip("<>|=")) if nbytes else Memory(_NOTHING, dtype.str.lstrip("<>|="))


def _in_a_row(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    for order in (list(zip(shape, strides, strict=False))[::-1], list(zip(shape, strides, strict=False))):
        expected = itemsize
        for length, stride in order:
            if length > 1 and stride != expected:
                break
            expected *= length
        else:
            return True
    return False


def _at(address: int, nbytes: int, owner: Any) -> Bytes:
    raw = (ctypes.c_uint8 * nbytes).from_address(address)
    with contextlib.suppress(AttributeError):
        raw._owner = owner  # type: ignore[attr-defined]
    found: Bytes = np.frombuffer(memoryview(raw), np.uint8)
    return found


def _read_only() -> ValueException:
    return ValueException(ErrorClass.BUFFER, "the receive buffer is read-only")


def _not_contiguous() -> ValueException:
    return ValueException(
        ErrorClass.BUFFER, "a buffer must be contiguous: send np.ascontiguousarray(x), and receive into such an array; or use a datatype"
    )


def _on_a_device() -> NotImplementedError:
    return NotImplementedError("the memory of a device cannot be sent yet: copy it to the host first")
