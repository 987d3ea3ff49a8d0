"""Kernels of NumPy alone: always there, and the same bytes as any other.

Everything is done in tiles that stay in the second-level cache, with operations on bytes, which NumPy has as vector instructions and
which need no alignment: doubling is v + v, then 0x1d times the comparison v < 0 of the signed byte. (Tables of 256 entries, the usual
way, were measured at a tenth of the speed.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois

Bytes = NDArray[np.uint8]

TILE_BYTES: Final = 64 << 10
"""Measured: calls cost little against the work, and a tile of each row and of scratch stays in the second-level cache."""
SUM_BYTES: Final = 256 << 10
"""A tile where there is only an exclusive or, without scratch: a quarter of the calls, which count when several threads decode."""


class NumpyKernel:
    """`Kernel` by NumPy. Its scratch is its caller's own, so it may be used from any thread."""

    name = f"NumPy {np.__version__}"

    def warm(self, exponents: Sequence[int]) -> None:
        """Prepare the kernel; NumPy needs no preparation."""

    def fold(
        self,
        exponents: Sequence[int],
        sources: Sequence[Bytes | None],
        extras: Sequence[Bytes | None],
        matrix: galois.Matrix | None,
        outs: Sequence[Bytes],
    ) -> None:
        """See `Kernel.fold`."""
        length = len(outs[0])
        tile = min(SUM_BYTES if matrix is None and not any(exponents) else TILE_BYTES, length)
        work = _Tile(tile)
        sums = np.empty((len(exponents), tile), np.uint8)
        for start in range(0, length, max(tile, 1)):
            width = min(tile, length - start)
            rows = [out[start : start + width] for out in outs] if matrix is None else [row[:width] for row in sums]
            parts = [None if source is None else source[start : start + width] for source in sources]
            for exponent, row, extra in zip(exponents, rows, extras, strict=True):
                added = None if extra is None else extra[start : start + width]
                if exponent == 0:
                    _sum([*parts, added], row)
                    continue
                work.horner(exponent, parts, row)
                if added is not None:
                    np.bitwise_xor(row, added, out=row)
            for factors, out in zip(matrix or (), outs, strict=matrix is not None):
                work.combine(factors, rows, out[start : start + width])


def _sum(parts: Sequence[Bytes | None], out: Bytes) -> None:
    """out = the exclusive or of all parts; a shorter one counts as followed by zeros, None as zeros."""
    whole = [part for part in parts if part is not None and len(part) == len(out)]
    if len(whole) > 1:
        np.bitwise_xor(whole[0], whole[1], out=out)
    else:
        out[:] = whole[0] if whole else 0
    for part in (*whole[2:], *(part for part in parts if part is not None and len(part) < len(out))):
        np.bitwise_xor(out[: len(part)], part, out=out[: len(part)])


class _Tile:
    """Arithmetic on up to `width` bytes at a time, with the scratch that it needs."""

    def __init__(self, width: int) -> None:
        self._carry = np.empty(width, np.uint8)

    def horner(self, exponent: int, sources: Sequence[Bytes | None], out: Bytes) -> None:
        """out = the sum of source t times (2^exponent)^t, for an exponent of -1 or 1; a shorter source counts as followed by zeros."""
        begun = False
        for source in reversed(sources):
            if begun:
                self._times_power(exponent, out)
            if source is None or not len(source):
                continue
            part = out[: len(source)]
            if begun:
                np.bitwise_xor(part, source, out=part)
            else:
                part[:] = source
                out[len(source) :] = 0
                begun = True
        if not begun:
            out[:] = 0

    def combine(self, factors: Sequence[int], sources: Sequence[Bytes], out: Bytes) -> None:
        """out = the sum of source times factor, by Horner's rule over the factors' bits."""
        out[:] = 0
        for bit in range(max(factors).bit_length() - 1, -1, -1):
            self._times_power(1, out)
            for factor, source in zip(factors, sources, strict=True):
                if factor >> bit & 1:
                    np.bitwise_xor(out, source, out=out)

    def _times_power(self, exponent: int, values: Bytes) -> None:
        """values *= 2^exponent, for an exponent of -1 or 1."""
        carry = self._carry[: len(values)]
        if exponent == 1:
            np.less(values.view(np.int8), 0, out=carry.view(np.bool_))
            np.add(values, values, out=values)
            np.multiply(carry, np.uint8(0x1D), out=carry)
        else:
            np.bitwise_and(values, np.uint8(1), out=carry)
            np.right_shift(values, np.uint8(1), out=values)
            np.multiply(carry, np.uint8(0x8E), out=carry)
        np.bitwise_xor(values, carry, out=values)
