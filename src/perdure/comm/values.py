"""Constants and buffers, as mpi4py has them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.errors import UsageError

PROC_NULL: Final = -2
ANY_SOURCE: Final = -1
ANY_TAG: Final = -1


class _InPlace:
    def __repr__(self) -> str:
        return "IN_PLACE"


IN_PLACE: Final = _InPlace()


def as_array(buffer: Any) -> NDArray[Any]:
    """The NumPy array of a buffer argument: an array, or `[array, count]`, `[array, datatype]`. Must be C-contiguous."""
    if isinstance(buffer, list | tuple):
        array, *rest = buffer
        if rest and isinstance(rest[0], int):
            array = np.asarray(array).reshape(-1)[: rest[0]]
    else:
        array = buffer
    if not isinstance(array, np.ndarray):
        raise UsageError(f"a buffer must be a NumPy array, not {type(array).__name__}: use the lower-case call for other objects")
    if array.dtype.hasobject:
        raise UsageError("an array of Python objects cannot be sent as a buffer: use the lower-case call")
    if not array.flags.c_contiguous:
        raise UsageError("a buffer must be C-contiguous: send np.ascontiguousarray(x), and receive into such an array")
    return array


def as_target(buffer: Any) -> NDArray[Any]:
    """Like `as_array`, for a buffer that is written."""
    array = as_array(buffer)
    if not array.flags.writeable:
        raise UsageError("the receive buffer is read-only")
    return array


def as_bytes(array: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
