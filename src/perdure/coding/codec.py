"""Encoding and decoding of whole arrays with NumPy: exclusive or, and products by constants through tables of 256 entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois
from perdure.errors import ConfigError

Bytes = NDArray[np.uint8]


class Codec:
    """The code of a group of `n` with `m` parity chunks. Code positions: 0 .. d-1 data, d .. n-1 parity. Any d of them give the rest."""

    def __init__(self, n: int, m: int) -> None:
        if m not in galois.EXPONENTS or not m < n:
            raise ConfigError(f"a parity group of {n} ranks cannot have {m} parity chunks: use 0 to 3, and fewer than ranks in the group")
        if n - m > 32:
            raise ConfigError(f"a parity group may have at most 32 data chunks, not {n - m}: use a smaller --group-size")
        self.n, self.m, self.d = n, m, n - m
        self._generator = galois.generator(self.d, m)
        self._tables: dict[int, Bytes] = {}

    def encode(self, sources: Sequence[Bytes], parities: Sequence[Bytes]) -> None:
        """Computes all parity chunks.

        Args:
            sources: d arrays (<= L,) uint8, borrowed; a shorter one counts as followed by zeros.
            parities: m arrays (L,) uint8, overwritten.
        """
        for row, out in zip(self._generator[self.d :], parities, strict=True):
            self._combine(row, sources, out)

    def decode(self, present: Mapping[int, Bytes], wanted: Mapping[int, Bytes]) -> None:
        """Computes lost chunks from any d others.

        Args:
            present: code position -> array (<= L,) uint8, borrowed; exactly d of them.
            wanted: code position -> array (L,) uint8, overwritten.
        """
        positions = sorted(present)
        back = galois.invert([self._generator[position] for position in positions])
        rows = galois.product([self._generator[position] for position in wanted], back)
        for row, out in zip(rows, wanted.values(), strict=True):
            self._combine(row, [present[position] for position in positions], out)

    def _combine(self, factors: Sequence[int], sources: Sequence[Bytes], out: Bytes) -> None:
        out[:] = 0
        for factor, source in zip(factors, sources, strict=True):
            part = out[: len(source)]
            if factor == 1:
                np.bitwise_xor(part, source, out=part)
            elif factor:
                np.bitwise_xor(part, self._table(factor)[source], out=part)

    def _table(self, factor: int) -> Bytes:
        if factor not in self._tables:
            self._tables[factor] = np.array([galois.multiply(factor, value) for value in range(256)], np.uint8)
        return self._tables[factor]
