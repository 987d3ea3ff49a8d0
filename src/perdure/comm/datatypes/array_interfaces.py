"""Memory of other libraries' arrays: DLPack (version 1) and the CUDA array interface (version 3).

The structures are read where they lie and nothing is taken over: the array keeps its memory, and is kept alive as long as ours refers to
it. Memory that the processor cannot read, a device's, is refused.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.definitions.failures import ErrorClass, MPIException
from perdure.comm.transports.direct import readable

Bytes = NDArray[np.uint8]
_CPU: Final = 1
_READ_ONLY: Final = 1
_CODE_OF_REALS, _CODE_OF_COMPLEX = 2, 5
_CODES: Final = {
    (0, 8): "b", (0, 16): "h", (0, 32): "i", (0, 64): "l", (1, 8): "B", (1, 16): "H", (1, 32): "I", (1, 64): "L", (2, 16): "e",
    (2, 32): "f", (2, 64): "d", (2, 128): "g", (5, 64): "F", (5, 128): "D", (5, 256): "G", (6, 8): "?",
}  # fmt: skip
"""(DLPack's kind, bits) -> type code."""


class BufferException(MPIException, BufferError, ValueError):
    """A buffer that cannot be used so."""


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    )  # fmt: skip


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64), ("tensor", _Tensor),
    )  # fmt: skip


_is_valid: Final = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_int
_pointer: Final = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p


def from_dlpack(thing: Any, *, writable: bool) -> tuple[Bytes, str]:
    """(the memory, its type code). BufferError: it cannot be used; NotImplementedError: it lies on a device."""
    device, number = thing.__dlpack_device__()
    if not isinstance(device, int) or not isinstance(number, int):
        raise TypeError("__dlpack_device__ must return two integers")
    stream = {} if device == _CPU else {"stream": -1}
    try:
        capsule, name = thing.__dlpack__(max_version=(1, 0), copy=False, **stream), b"dltensor_versioned"
    except TypeError:
        capsule, name = thing.__dlpack__(**stream), b"dltensor"
    if not _is_valid(capsule, name):
        raise _bad("the object is not a DLPack capsule, or the capsule was already used")
    if name == b"dltensor":
        tensor, readonly = _Tensor.from_address(_pointer(capsule, name)), False
    else:
        managed = _Versioned.from_address(_pointer(capsule, name))
        if managed.major < 1:
            raise _bad("a DLPack capsule of an unexpected version")
        tensor, readonly = managed.tensor, bool(managed.flags & _READ_ONLY)
    if tensor.ndim < 0 or (tensor.ndim and not tensor.shape):
        raise _bad("a DLPack tensor without a shape")
    shape = [tensor.shape[dim] for dim in range(tensor.ndim)]
    strides = [tensor.strides[dim] for dim in range(tensor.ndim)] if tensor.strides else None
    if min(shape, default=0) < 0 or min(strides or [0]) < 0:
        raise _bad("a DLPack tensor with a negative shape or stride")
    itemsize = (tensor.bits * tensor.lanes + 7) // 8
    code = _code_of(tensor)
    address = (tensor.data or 0) + tensor.byte_offset
    _check(shape, strides, 1, readonly=readonly, writable=writable)
    return _over(address, math.prod(shape) * itemsize, capsule), code


def _code_of(tensor: _Tensor) -> str:
    """A pair of reals is a complex number; other vectors are bytes."""
    if tensor.lanes == 2 and tensor.code == _CODE_OF_REALS:
        return _CODES.get((_CODE_OF_COMPLEX, 2 * tensor.bits), "B")
    return _CODES.get((tensor.code, tensor.bits), "B") if tensor.lanes == 1 else "B"


def from_interface(thing: Any, *, writable: bool) -> tuple[Bytes, str]:
    """The same, by `__cuda_array_interface__`."""
    interface = thing.__cuda_array_interface__
    if not isinstance(interface, dict):
        raise TypeError("__cuda_array_interface__ must be a dict")
    data, typestr, shape, strides = interface["data"], interface["typestr"], interface["shape"], interface.get("strides")
    for value, kind in ((data, tuple), (typestr, str), (shape, tuple)):
        if not isinstance(value, kind):
            raise TypeError(f"__cuda_array_interface__: expected a {kind.__name__}, not {type(value).__name__}")
    if strides is not None and not isinstance(strides, tuple):
        raise TypeError("__cuda_array_interface__: strides must be a tuple")
    address, readonly = data
    order, kind, itemsize = typestr[0:1], typestr[1:2], int(typestr[2:])
    if not order or not kind:
        raise TypeError(f"__cuda_array_interface__: invalid typestr {typestr!r}")
    if order not in "<|":
        raise _bad(f"__cuda_array_interface__: typestr {typestr!r} with another byte order")
    if interface.get("mask") is not None:
        raise _bad("a masked array cannot be sent as a buffer")
    if math.prod(shape) < 0:
        raise _bad("a buffer of a negative size")
    _check(shape, strides, itemsize, readonly=readonly, writable=writable)
    _described(interface.get("descr"), typestr)
    kinds = {"b": 6, "i": 0, "u": 1, "f": 2, "c": 5}
    return _over(address or 0, math.prod(shape) * itemsize, thing), _CODES.get((kinds.get(kind, -1), itemsize * 8), "B")


def _described(descr: Any, typestr: str) -> None:
    if descr is None:
        return
    if not isinstance(descr, list):
        raise TypeError("__cuda_array_interface__: descr must be a list")
    if descr != [("", typestr)]:
        import warnings

        warnings.warn("__cuda_array_interface__: ignoring 'descr' key", RuntimeWarning, stacklevel=2)


def _check(shape: Sequence[int], strides: Sequence[int] | None, unit: int, *, readonly: bool, writable: bool) -> None:
    if strides is not None and not _in_a_row(shape, strides, unit) and not _in_a_row(shape[::-1], strides[::-1], unit):
        raise _bad("a buffer must be contiguous")
    if readonly and writable:
        raise _bad("the receive buffer is read-only")


def _in_a_row(shape: Sequence[int], strides: Sequence[int], unit: int) -> bool:
    """In C order, in which the last index varies fastest."""
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != unit:
            return False
        unit *= length
    return True


def _over(address: int, nbytes: int, owner: Any) -> Bytes:
    """The memory at an address, which keeps its owner alive."""
    if nbytes == 0:
        return np.zeros(0, np.uint8)
    if not readable(address, nbytes):
        raise NotImplementedError("memory of a device cannot be sent yet: copy it to the host first")
    kept: Any = type("_Kept", (ctypes.c_uint8 * nbytes,), {})
    raw = kept.from_address(address)
    raw.owner = owner
    found: Bytes = np.frombuffer(memoryview(raw), np.uint8)
    return found


def _bad(text: str) -> BufferException:
    return BufferException(ErrorClass.BUFFER, text)
