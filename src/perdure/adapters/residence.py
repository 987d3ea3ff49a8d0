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
    """Of one entry of `main`. `nbytes`: the length of the slot that is taken."""

    def __init__(self, session: GenerationSession) -> None:
        self._session, self.nbytes = session, 0

    def takes(self, shape: tuple[int, ...], rows: int, halo_axis: int) -> bool:
        """May an array lie here? Not outside tight mode, nor if it is empty; what counts of it, `rows` between the ghost rows along
        `halo_axis`, must be in one piece."""
        return self._session.tight and rows > 0 and math.prod(shape) > 0 and math.prod(shape[:halo_axis]) == 1

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, int]:
        """An array of bytes that mean nothing yet, and where in the slot it begins. ConfigError: there is no memory."""
        start, nbytes = -(-self.nbytes // ALIGNMENT) * ALIGNMENT, math.prod(shape) * dtype.itemsize
        self.nbytes = start + nbytes
        return self._session.live(start, nbytes).view(dtype).reshape(shape), start

    def takes_over(self, made: Array) -> bool:
        """May an array that `init` has made be exchanged for one here? Only if nobody but the caller holds it, or what it is a view of: a
        program that computes with another name of it would compute with what is not protected."""
        if not self._session.tight or type(made) is not np.ndarray or not made.flags.c_contiguous or not made.nbytes:
            return False
        return sys.getrefcount(made) <= 3 and (made.base is None or sys.getrefcount(made.base) <= 2)

    def moved_in(self, made: Array) -> tuple[Array, int]:
        """Its copy here, as `array` gives one."""
        live, start = self.array(made.shape, made.dtype)
        live[...] = made
        return live, start

    def needed_bytes(self, sizes: Iterable[tuple[int, bool]]) -> int:
        """Of live arrays and what protects them. `sizes`: the bytes of each, and whether it lies here; in tight mode others are copied."""
        factor = 1 + self._session.protection
        return int(sum(nbytes * (factor + (self._session.tight and not is_here)) for nbytes, is_here in sizes))
