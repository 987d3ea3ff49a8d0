"""The memory that a worker's process keeps from one generation to the next."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARRAY_SPACING = 4096
"""Bytes: arrays in reserved memory begin at multiples of it, a page; it has no further meaning."""


@dataclass(slots=True)
class KeptMemory:
    """The buffers and derived values that a worker's process keeps from one generation to the next."""

    buffers: dict[str, Array] = field(default_factory=dict)
    derived: dict[str, Any] = field(default_factory=dict)
    _touched: Array = field(default_factory=lambda: np.empty(0, np.uint8))

    def reserve(self, nbytes: int) -> None:
        """Allocate and touch memory for arrays of this total size, in a process that waits to replace a lost rank."""
        if len(self._touched) < nbytes + ARRAY_SPACING:
            self._touched = np.full(nbytes + ARRAY_SPACING, 0, np.uint8)

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Zeros, or the array of the last generation: its pages are there already. Only if nobody else holds it any more."""
        kept = self.buffers.pop(name, None)
        if kept is None or kept.shape != shape or kept.dtype != dtype or sys.getrefcount(kept) > 2:
            kept = self._fresh(shape, dtype)
        return kept

    def _fresh(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Zeros, out of what `reserve` made while that lasts."""
        nbytes = math.prod(shape) * dtype.itemsize
        if not 0 < nbytes <= len(self._touched):
            return np.zeros(shape, dtype)
        block = self._touched[:nbytes]
        self._touched = self._touched[-(-nbytes // ARRAY_SPACING) * ARRAY_SPACING :]
        return block.view(dtype).reshape(shape)
