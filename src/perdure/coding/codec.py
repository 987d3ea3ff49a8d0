"""Encoding and decoding of whole arrays.

Decoding solves a system only as large as the number of data chunks that are missing. Folding the data that is there, as encoding
does, and adding the parity that is there leaves for each such parity row the same combination of the missing chunks alone
(its syndrome); the inverse of that small matrix gives them back, and with them any missing parity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois, kernels
from perdure.coding.kernels import Kernel
from perdure.errors import ConfigError

Bytes = NDArray[np.uint8]


class Codec:
    """The code of a group of `n` with `m` parity chunks. Code positions: 0 .. d-1 data, d .. n-1 parity. Any d of them give the rest."""

    def __init__(self, n: int, m: int, kernel: Kernel | None = None) -> None:
        """`kernel`: None for the fastest that is ready at each call."""
        if m not in galois.EXPONENTS or not m < n:
            raise ConfigError(f"a parity group of {n} ranks cannot have {m} parity chunks: use 0 to 3, and fewer than ranks in the group")
        if n - m > 32:
            raise ConfigError(f"a parity group may have at most 32 data chunks, not {n - m}: use a smaller --group-size")
        self.n, self.m, self.d = n, m, n - m
        self._exponents = galois.EXPONENTS[m]
        self._kernel = kernel

    def encode(self, sources: Sequence[Bytes], parities: Sequence[Bytes]) -> None:
        """Computes all parity chunks.

        Args:
            sources: d arrays (<= L,) uint8, contiguous, borrowed; a shorter one counts as followed by zeros.
            parities: m arrays (L,) uint8, contiguous, overwritten.
        """
        if parities:
            (self._kernel or kernels.current()).fold(self._exponents, sources, [None] * self.m, None, parities)

    def decode(self, present: Mapping[int, Bytes], wanted: Mapping[int, Bytes]) -> None:
        """Computes lost chunks from any d others.

        Args:
            present: code position -> array (<= L,) uint8, contiguous, borrowed; exactly d of them. A parity chunk has length L.
            wanted: code position -> array (L,) uint8, contiguous, overwritten.
        """
        if not wanted:
            return
        solution = galois.solve(self.d, self.m, tuple(sorted(present)), tuple(wanted))
        (self._kernel or kernels.current()).fold(
            [self._exponents[p] for p in solution.rows],
            [present.get(t) for t in range(self.d)],
            [present.get(self.d + p) for p in solution.rows],
            solution.matrix,
            list(wanted.values()),
        )
