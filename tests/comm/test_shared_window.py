"""Memory that ranks have in common gives the bits that messages give, and is done without where it cannot be had."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from perdure import MPI
from perdure.comm import Communicator
from perdure.comm.collectives import reductions
from perdure.comm.messaging import shared_window
from tests.comm.worlds import World

LONG = reductions.LONG_FROM_BYTES


@pytest.fixture
def worlds() -> Iterator[Any]:
    made: list[World] = []

    def make(size: int, transport: str) -> World:
        made.append(World(size, transport))
        return made[-1]

    yield make
    for world in made:
        world.close()


def vectors(size: int, count: int, dtype: str) -> list[np.ndarray]:
    dice = np.random.default_rng(size * count)
    return [(dice.random(count) * 2.0 ** dice.integers(0, 30, count)).astype(dtype) for _ in range(size)]


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize(("dtype", "op"), [("f4", MPI.SUM), ("f8", MPI.PROD), ("i2", MPI.MAX), ("u1", MPI.BXOR), ("c16", MPI.SUM)])
def test_it_gives_the_bits_that_messages_give(worlds: Any, size: int, dtype: str, op: Any) -> None:
    counts = [LONG, LONG // np.dtype(dtype).itemsize + 7, shared_window.HALF_BYTES // np.dtype(dtype).itemsize]

    def body(comm: Communicator) -> list[bytes]:
        found = []
        for count in counts:
            mine = vectors(size, count, dtype)[comm.rank]
            out = np.empty_like(mine)
            comm.Allreduce(mine, out, op)
            comm.Allreduce(MPI.IN_PLACE, mine, op)
            found += [out.tobytes(), mine.tobytes()]
        return found

    by_memory, by_messages = worlds(size, "shared").run(body), worlds(size, "unix").run(body)
    assert by_memory == by_messages
    assert all(one == by_memory[0] for one in by_memory)


def test_calls_in_a_row_do_not_overtake_one_another(worlds: Any) -> None:
    """A fast rank writes the next vector while slow ones still read the last; ranks are slow in turn."""
    count, rounds, size = LONG, 60, 4

    def body(comm: Communicator) -> int:
        dice, wrong = random.Random(comm.rank), 0
        for number in range(rounds):
            out = np.empty(count)
            comm.Allreduce(np.full(count, float(number + comm.rank)), out)
            wrong += int((out != size * number + sum(range(size))).sum())
            if dice.random() < 0.3:
                np.sort(np.random.default_rng(number).random(30_000))
        return wrong

    assert worlds(size, "shared").run(body) == [0] * size


def test_ranks_that_disagree_are_told(worlds: Any) -> None:
    def body(comm: Communicator) -> None:
        comm.Allreduce(np.zeros(LONG + comm.rank), np.zeros(LONG + comm.rank))

    for result in worlds(2, "shared").run(body):
        assert isinstance(result, MPI.Exception)
        assert result.Get_error_class() == MPI.ERR_TRUNCATE


def test_where_it_cannot_be_had_all_ranks_do_without(worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rank of three does not get at one file: what it finds there has another mark."""
    mapped, calls = shared_window.mapped, []

    def sometimes(place: bytes) -> Any:
        calls.append(place)
        return mapped(place[:-16] + os.urandom(16) if len(calls) == 1 else place)

    monkeypatch.setattr(shared_window, "mapped", sometimes)

    def body(comm: Communicator) -> tuple[bool, float]:
        out = np.empty(LONG)
        comm.Allreduce(np.ones(LONG), out)
        return comm.held().shared_window is None, float(out.sum())

    assert worlds(3, "shared").run(body) == [(True, 3.0 * LONG)] * 3
    assert len(calls) == 6


def test_what_is_no_file_of_ours_is_not_mapped() -> None:
    fd = os.memfd_create("other")
    place = struct.pack("<II16s", os.getpid(), fd, b"\0" * 16)
    assert shared_window.mapped(place) is None
    os.close(fd)
    assert shared_window.mapped(place) is None
