"""The choice of kernels for arithmetic on whole arrays: NumPy at the start, compiled kernels once they are ready.

Compiled kernels come with the extra `kernels` (llvmlite). They pay from two parity chunks on: at one, parity is an exclusive or, which
NumPy does at memory speed. Whichever is used, the bytes are the same, so nodes with and without them may share a job.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from perdure.coding import galois
from perdure.coding._numpy import NumpyKernel
from perdure.coding.cores import SharedKernel

Bytes = NDArray[np.uint8]


class Kernel(Protocol):
    """One operation does all of encoding and decoding. Safe from any thread."""

    name: str

    def warm(self, exponents: Sequence[int]) -> None:
        """Prepare the code for these rows."""

    def fold(
        self,
        exponents: Sequence[int],
        sources: Sequence[Bytes | None],
        extras: Sequence[Bytes | None],
        matrix: galois.Matrix | None,
        outs: Sequence[Bytes],
    ) -> None:
        """Row r is the sum over t of (2^exponents[r])^t times source t, plus extra r; the outputs are the matrix times the rows.

        Args:
            sources: arrays (<= L,) uint8, borrowed; a shorter one counts as followed by zeros, None as zeros.
            extras: one for each row, (L,) uint8, borrowed, or None.
            matrix: (outputs, rows); None stands for the identity.
            outs: arrays (L,) uint8, overwritten; they share no memory with sources and extras.
        """


class _Chosen:
    """The kernel of this process. Changes at most once, from NumPy's to the compiled one, and with the cores that it is shared by."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kernel: Kernel = NumpyKernel()
        self.cores: tuple[int, ...] = ()
        self.shared: SharedKernel | None = None
        self.warmed: set[int] = set()

    def share(self) -> None:
        """With the lock. Who works with the old one goes on with it; its threads end when nobody does."""
        self.shared = None if not self.cores or isinstance(self.kernel, NumpyKernel) else SharedKernel(self.kernel, self.cores)


_chosen = _Chosen()


def current() -> Kernel:
    """The fastest kernel that is ready."""
    return _chosen.shared or _chosen.kernel


def share(cores: Sequence[int]) -> None:
    """Let threads on these cores help to encode and decode with compiled kernels in this process; without cores, no thread helps."""
    with _chosen.lock:
        if tuple(cores) != _chosen.cores:
            _chosen.cores = tuple(cores)
            _chosen.share()


def threads() -> int:
    """Return the number of threads that work on one array; an array should be longer by this factor than for one thread."""
    shared = _chosen.shared
    return 1 if shared is None else 1 + len(shared.cores)


def are_warm(m: int) -> bool:
    """Would `warm` have nothing to do?"""
    return m < 2 or m in _chosen.warmed


def warm(m: int) -> str:
    """Prepare the fastest kernels for `m` parity chunks, and return their name. Blocks for about 0.1 s at its first call with m >= 2.

    Until it returns, `current` returns the kernel that was ready before.
    """
    with _chosen.lock:
        if m < 2 or m in _chosen.warmed:
            return _chosen.kernel.name
        _chosen.warmed.add(m)
        compiled = compiled_kernel()
        if compiled is None:
            return _chosen.kernel.name
        kernel = compiled if isinstance(_chosen.kernel, NumpyKernel) else _chosen.kernel
        for rows in galois.row_sets(m):
            kernel.warm(rows)
        if kernel is not _chosen.kernel:
            _chosen.kernel = kernel
            _chosen.share()
        return kernel.name


def compiled_kernel() -> Kernel | None:
    """A compiled kernel, or None where llvmlite is not installed."""
    try:
        from perdure.coding._llvm import LlvmKernel
    except ImportError:
        return None
    return LlvmKernel()
