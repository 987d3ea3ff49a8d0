"""Tight mode: arrays lie in the slot itself, one after the other, so that a commit copies none of them (section 7 of the protocol).

They are laid out anew at each entry of `main`, in the order of declaration. What a program kept of an array of an earlier entry shows the
bytes of a new one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.core.snapshot_index import ALIGNMENT
from perdure.runtime.session import GenerationSession

Array = NDArray[Any]


class Residence:
    """The arrays of one entry of `main` that are in the live slot. `nbytes`: the used length of the slot."""

    def __init__(self, session: GenerationSession) -> None:
        self._session, self.nbytes = session, 0

    def takes(self, shape: tuple[int, ...], rows: int, halo_axis: int) -> bool:
        """Return whether an array may be in the slot: only in tight mode, if it is not empty, and if its `rows` between the ghost rows
        along `halo_axis` are contiguous."""
        return self._session.tight and rows > 0 and math.prod(shape) > 0 and math.prod(shape[:halo_axis]) == 1

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, int]:
        """An array of bytes that mean nothing yet, and where in the slot it begins. ConfigError: there is no memory."""
        start, nbytes = -(-self.nbytes // ALIGNMENT) * ALIGNMENT, math.prod(shape) * dtype.itemsize
        self.nbytes = start + nbytes
        return self._session.live(start, nbytes).view(dtype).reshape(shape), start

    def takes_over(self, made: Array) -> bool:
        """Return whether an array that `init` made may be replaced by one in the slot. Only the caller may refer to it or to its base: a
        program with another reference would compute with unprotected memory."""
        if not self._session.tight or type(made) is not np.ndarray or not made.flags.c_contiguous or not made.nbytes:
            return False
        return sys.getrefcount(made) <= 3 and (made.base is None or sys.getrefcount(made.base) <= 2)

    def moved_in(self, made: Array) -> tuple[Array, int]:
        """Return a copy of the array in the slot, and its place, as `array` does."""
        live, start = self.array(made.shape, made.dtype)
        live[...] = made
        return live, start

    def needed_bytes(self, sizes: Iterable[tuple[int, bool]]) -> int:
        """Return the bytes needed for live arrays and their protection. `sizes`: the bytes of each array, and whether it is in the slot; in
        tight mode others are copied."""
        factor = 1 + self._session.protection
        return int(sum(nbytes * (factor + (self._session.tight and not is_here)) for nbytes, is_here in sizes))
