"""Several threads at one array: the same bytes as by one, whoever takes which piece, and nobody writes after the call."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.coding import Codec, kernels
from perdure.coding._llvm import LlvmKernel
from perdure.coding._numpy import NumpyKernel
from perdure.coding.cores import PIECE_BYTES, SharedKernel, to_spare
from perdure.coding.kernels import Kernel

CORES = [max(os.sched_getaffinity(0))] * 3
ALONE: list[Kernel] = [NumpyKernel(), LlvmKernel()]
SHARED = [SharedKernel(kernel, CORES) for kernel in ALONE]


@pytest.mark.parametrize(("alone", "shared"), list(zip(ALONE, SHARED, strict=True)), ids=["numpy", "llvm"])
@settings(max_examples=30, deadline=None)
@given(
    m=st.integers(1, 3),
    length=st.one_of(st.integers(0, 3), st.integers(PIECE_BYTES - 2, 9 * PIECE_BYTES)),
    shorter=st.integers(0, 2 * PIECE_BYTES),
    data=st.data(),
)
def test_the_same_bytes_as_by_one(alone: Kernel, shared: Kernel, m: int, length: int, shorter: int, data: Any) -> None:
    d = 3
    rng = np.random.default_rng(length)
    sources = [rng.integers(0, 256, max(0, length - shorter * t), np.uint8) for t in range(d)]
    parities, expected = ([np.full(length, fill, np.uint8) for _ in range(m)] for fill in (1, 2))
    Codec(d + m, m, shared).encode(sources, parities)
    Codec(d + m, m, alone).encode(sources, expected)
    for found, right in zip(parities, expected, strict=True):
        np.testing.assert_array_equal(found, right)

    lost = data.draw(st.sets(st.integers(0, d + m - 1), min_size=1, max_size=m))
    chunks = dict(enumerate([*sources, *parities]))
    present = dict([(position, chunk) for position, chunk in chunks.items() if position not in lost][:d])
    wanted = {position: np.full(length, 0xEE, np.uint8) for position in sorted(lost)}
    Codec(d + m, m, shared).decode(present, wanted)
    for position, rebuilt in wanted.items():
        whole = np.zeros(length, np.uint8)
        whole[: len(chunks[position])] = chunks[position]
        np.testing.assert_array_equal(rebuilt, whole)


class _Gated:
    """A kernel whose calls wait until `together` of them are there, or fail at a piece that begins with 13."""

    name = "gated"

    def __init__(self, together: int = 1) -> None:
        self.barrier = threading.Barrier(together, timeout=30)
        self.threads: set[int] = set()

    def warm(self, exponents: object) -> None:
        """Nothing."""

    def fold(self, exponents: object, sources: Any, extras: object, matrix: object, outs: Any) -> None:
        self.threads.add(threading.get_ident())
        self.barrier.wait()
        if sources[0][0] == 13:
            raise RuntimeError("piece 13")
        outs[0][:] = sources[0]


def test_threads_work_at_the_same_time() -> None:
    gated = _Gated(together=4)
    out = np.zeros(16 * PIECE_BYTES, np.uint8)
    source = np.arange(len(out), dtype=np.uint64).astype(np.uint8)
    SharedKernel(gated, CORES).fold([0], [source], [None], None, [out])
    np.testing.assert_array_equal(out, source)
    assert len(gated.threads) == 4


@pytest.mark.parametrize("piece", [0, 3])
def test_an_error_of_any_thread_is_the_callers(piece: int) -> None:
    source = np.zeros(4 * PIECE_BYTES, np.uint8)
    source[piece * PIECE_BYTES] = 13
    with pytest.raises(RuntimeError, match="piece 13"):
        SharedKernel(_Gated(), CORES).fold([0], [source], [None], None, [np.zeros_like(source)])


def test_helpers_stay_on_their_cores() -> None:
    seen: list[set[int]] = []

    class Looks(_Gated):
        def fold(self, *arguments: Any) -> None:
            if threading.current_thread() is not threading.main_thread():
                seen.append(os.sched_getaffinity(0))
            super().fold(*arguments)

    looks = Looks(together=2)
    source = np.zeros(2 * PIECE_BYTES, np.uint8)
    SharedKernel(looks, CORES[:1]).fold([0], [source], [None], None, [np.ones_like(source)])
    assert seen == [{CORES[0]}]


def test_a_core_that_was_taken_away_ends_nothing() -> None:
    source = np.full(8 * PIECE_BYTES, 7, np.uint8)
    out = np.zeros_like(source)
    SharedKernel(_Gated(together=2), [100_000]).fold([0], [source], [None], None, [out])
    np.testing.assert_array_equal(out, source)


def test_who_works_while_the_cores_change_goes_on() -> None:
    """Nobody's threads are taken away: the next to ask has the new ones."""
    before = kernels.current()
    try:
        kernels.warm(2)
        kernels.share(CORES[:1])
        old = kernels.current()
        kernels.share(CORES)
        assert kernels.current().name.endswith("4 threads")
        assert kernels.threads() == 4
        source = np.full(8 * PIECE_BYTES, 9, np.uint8)
        out = np.zeros_like(source)
        old.fold([0], [source], [None], None, [out])
        np.testing.assert_array_equal(out, source)
        kernels.warm(3)
        assert kernels.current().name.startswith("LLVM")
        assert kernels.current().name.endswith("4 threads")
    finally:
        kernels.share(())
    assert "threads" not in before.name
    assert "threads" not in kernels.current().name


@pytest.mark.parametrize(
    ("cores", "ranks", "agents", "expected"),
    [
        (2, 4, 4, 0),
        (2, 1, 1, 1),
        (2, 1, 2, 0),
        (64, 64, 1, 0),
        (64, 8, 1, 3),
        (64, 60, 2, 2),
        (64, 60, 3, 1),
        (1, 0, 0, 1),
    ],
)
def test_a_rank_has_a_core_first(cores: int, ranks: int, agents: int, expected: int) -> None:
    spare = to_spare(range(cores), ranks, agents, at_most=3)
    assert spare == tuple(range(cores - expected, cores))
