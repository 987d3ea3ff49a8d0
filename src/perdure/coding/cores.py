"""Several cores at one array: its columns are worked on piece by piece, by the thread that asks and by a few helpers.

Each helper stays on a core of its own. Pieces are taken one after the other and not dealt out beforehand, so a helper whose core has
something else to do, a rank for one, holds the others up by no more than the piece that it has.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois

if TYPE_CHECKING:
    from perdure.coding.kernels import Kernel

Bytes = NDArray[np.uint8]

PIECE_BYTES: Final = 1 << 20
"""At least. Measured: of 256 KiB a helper does less than it costs to wake it and to hand it the interpreter's lock."""
PIECES_EACH: Final = 4
"""Pieces of a long array for each thread: the last thread to finish delays the others by at most a quarter of its share."""
_ALIGNMENT: Final = 4096


def to_spare(cores: Sequence[int], ranks: int, agents: int, at_most: int) -> tuple[int, ...]:
    """The cores of helpers: those that are left when each rank on a machine has one, shared among its agents.

    Args:
        cores: that this process may use.
        ranks, agents: on this machine, this agent and its ranks among them.
    """
    each = max(0, len(cores) - ranks) // max(agents, 1)
    count = min(each, at_most)
    return tuple(cores[len(cores) - count :])


class SharedKernel:
    """`Kernel` of several cores, by another one."""

    def __init__(self, kernel: Kernel, cores: Sequence[int]) -> None:
        """Start the threads now, so that they have the priority of the caller.

        Args:
            kernel: a compiled one. NumPy's, which asks for the interpreter's lock all the time, is slower with helpers (measured: by 30 %).
            cores: one for each helper, at least one.
        """
        self.kernel, self.cores = kernel, tuple(cores)
        self.name = f"{kernel.name}, {len(cores) + 1} threads"
        waiting = iter(cores)
        self._helpers = ThreadPoolExecutor(len(cores), "kernel", initializer=lambda: _stay_on(next(waiting)))
        all_there = threading.Barrier(len(cores))
        for _ in cores:
            self._helpers.submit(all_there.wait)

    def warm(self, exponents: Sequence[int]) -> None:
        """See `Kernel.warm`."""
        self.kernel.warm(exponents)

    def fold(
        self,
        exponents: Sequence[int],
        sources: Sequence[Bytes | None],
        extras: Sequence[Bytes | None],
        matrix: galois.Matrix | None,
        outs: Sequence[Bytes],
    ) -> None:
        """See `Kernel.fold`. An error of a helper is raised here, after all of them have let go of the arrays."""
        pieces = self._pieces(len(outs[0]))
        taken: Iterator[slice] = iter(pieces)

        def work() -> None:
            for piece in taken:
                self.kernel.fold(exponents, _cut(sources, piece), _cut(extras, piece), matrix, [out[piece] for out in outs])

        asked = [self._helpers.submit(work) for _ in range(min(len(self.cores), len(pieces) - 1))]
        try:
            work()
        finally:
            begun = [one for one in asked if not one.cancel()]
            wait(begun)
        for one in begun:
            one.result()

    def _pieces(self, length: int) -> list[slice]:
        each = max(PIECE_BYTES, -(-length // (PIECES_EACH * (len(self.cores) + 1) * _ALIGNMENT)) * _ALIGNMENT)
        return [slice(start, start + each) for start in range(0, length, each)] or [slice(0, 0)]


def _stay_on(core: int) -> None:
    """Bind this thread to a core. The thread stays unbound if the core was taken from this process meanwhile."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, (core,))


def _cut(arrays: Sequence[Bytes | None], piece: slice) -> list[Bytes | None]:
    return [None if array is None else array[piece] for array in arrays]
