"""A peer goes away at every phase of every collective: each survivor leaves, by the revoke or with the right result, and nobody hangs.

A phase is a frame: the peer's frames in the undisturbed collective are counted, and then it goes away before the first of them, in the
middle of each and right after each. What comes after the collective must always end with the revoke.
"""

from __future__ import annotations

import itertools
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from perdure.comm import Communicator, Mesh, world_of
from perdure.comm.messaging.links import HEAD
from perdure.errors import GenerationRevoked
from tests.comm import catalogue
from tests.comm.worlds import DEADLINE_S, Quiet, World

RANKS = 4
PATIENCE_S = 0.002
"""In every other phase the agent's word comes so much later: survivors meet the broken link first."""


class Away(BaseException):
    """Here the peer's process ends."""


class Frames:
    """Counts what a rank sends, and lets it go away after `last` frames; if `cut`, in the middle of the last of them."""

    def __init__(self, comm: Communicator, last: int = -1, cut: bool = False, leave: Callable[[], None] | None = None) -> None:
        self.count, self._last, self._cut = 0, last, cut
        self._leave = leave or comm.engine.traffic.close
        self._traffic = comm.engine.traffic
        self._send, self._generation = self._traffic.frame, comm.engine.generation
        self._traffic.frame = self._frame  # type: ignore[method-assign]

    def go_if_due(self) -> None:
        if self.count == self._last:
            self._leave()
            raise Away

    def _frame(self, out: Any, **fields: Any) -> None:
        self.go_if_due()
        self.count += 1
        if self._cut and self.count == self._last:
            self._send_half(out, **fields)
        else:
            self._send(out, **fields)
        self.go_if_due()

    def _send_half(self, out: Any, *, data: Any = None, message: Any = None, **fields: int) -> None:
        words = [fields.get(name, 0) for name in ("context", "length", "address", "tag")]
        head = HEAD.pack(out.sequence, *words, self._generation, fields.get("kind", 0), fields.get("ticket", 0), 0)
        out.stream.send([head, data[: len(data) // 2]] if data else [head[: len(head) // 2]])


@pytest.fixture(scope="module")
def worlds() -> Iterator[dict[int, World]]:
    worlds = {size: World(size, "threads") for size in (3, RANKS, 9)}
    yield worlds
    for world in worlds.values():
        world.close()


def undisturbed(world: World, call: catalogue.Call, count: int) -> tuple[list[Any], list[int]]:
    """All ranks' results, and how many frames each of them sent."""
    frames = [0] * world.size

    def body(comm: Communicator) -> Any:
        counter = Frames(comm)
        result = call(comm, count)
        frames[comm.rank] = counter.count
        return result

    return world.run(body), frames


def without(world: World, victim: int, last: int, cut: bool, call: catalogue.Call, count: int, patience_s: float) -> list[Any]:
    """What the survivors had of the collective; None where the revoke came first. The last call of each ends with the revoke."""
    gone = threading.Event()
    found: list[Any] = [None] * world.size

    def body(comm: Communicator) -> None:
        if comm.rank != victim:
            found[comm.rank] = (call(comm, count),)
            while True:
                comm.barrier()
        try:
            frames = Frames(comm, last, cut)
            frames.go_if_due()
            call(comm, count)
        finally:
            comm.engine.traffic.close()
            gone.set()

    threads, results = world.start(body)
    assert gone.wait(DEADLINE_S), "the victim never got to its phase"
    for rank in (rank for rank in range(world.size) if rank != victim and patience_s):
        threads[rank].join(patience_s)
    world.revoke()
    for rank, thread in enumerate(threads):
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), f"rank {rank} was left behind"
    assert all(isinstance(result, GenerationRevoked) for rank, result in enumerate(results) if rank != victim), results
    return found


def strike_everywhere(world: World, name: str, count: int, victims: Any) -> int:
    """All phases of the victims. Returns how many there were."""
    call, phases = catalogue.ALL[name], 0
    expected, frames = undisturbed(world, call, count)
    for victim in victims:
        for last, cut in [(0, False), *itertools.product(range(1, frames[victim] + 1), (False, True))]:
            found = without(world, victim, last, cut, call, count, PATIENCE_S * (phases % 2))
            phases += 1
            for rank, has in enumerate(found):
                assert has is None or same(has[0], expected[rank]), f"rank {rank} has a wrong result: {victim=} {last=} {cut=}"
    return phases


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other))


@pytest.mark.parametrize("name", catalogue.ALL)
def test_a_peer_that_goes_away_at_any_phase_of(worlds: dict[int, World], name: str) -> None:
    for count in catalogue.sizes(name):
        assert strike_everywhere(worlds[RANKS], name, count, range(RANKS)) > RANKS


@pytest.mark.parametrize("name", ["Allreduce", "Reduce", "Bcast", "Scan", "Barrier", "allreduce", "reduce"])
def test_with_ranks_beyond_a_power_of_two(worlds: dict[int, World], name: str) -> None:
    assert strike_everywhere(worlds[3], name, 1, range(3)) > 3


@pytest.mark.parametrize("name", ["Allgather", "Allreduce", "Allgatherv"])
def test_in_a_ring(worlds: dict[int, World], name: str) -> None:
    """More than eight ranks gather in a ring, where each passes on what it got last."""
    assert strike_everywhere(worlds[9], name, 2048, (0, 4)) > 2


# ---- processes that are killed ----------------------------------------------------------------------------------------------

KILLED = {
    "Bcast": (1, 70_000), "Gather": (20_000,), "Scatter": (20_000,), "Allgather": (20_000,), "Alltoallv": (4096,), "Reduce": (1, 4096),
    "Allreduce": (1, 4096, 60_000), "Reduce_scatter": (20_000,), "Scan": (20_000,), "Exscan": (1,), "Barrier": (1,),
    "I Allreduce": (4096,), "I Alltoall": (20_000,), "init Allgather": (1,), "Neighbor_alltoall": (20_000,), "allreduce": (20_000,),
    "alltoall": (1,), "Split": (1,),
}  # fmt: skip
"""From 96 KiB on shared memory carries an offer, and the survivors read the victim's memory."""


@pytest.mark.parametrize("transport", ["shared", "unix", "tcp"])
@pytest.mark.parametrize("name", KILLED)
def test_a_process_that_is_killed_at_any_phase_of(transport: Any, name: str) -> None:
    """Rank 2 is a process of its own; all links are there when it begins. It is killed by SIGKILL."""
    call = catalogue.ALL[name]
    world = World(3, transport)
    for count in KILLED[name]:
        expected, frames = undisturbed(world, call, count)
        for last, cut in [(0, False), *itertools.product(range(1, frames[2] + 1), (False, True))]:
            found = _with_a_killed_process(transport, call, count, last, cut)
            for rank, has in enumerate(found):
                assert has is None or same(has[0], expected[rank]), f"rank {rank} has a wrong result: {count=} {last=} {cut=}"
    world.close()


def _with_a_killed_process(transport: Any, call: catalogue.Call, count: int, last: int, cut: bool) -> list[Any]:
    """What two survivors, threads of this process, had of the collective. The kernel's word is what an agent revokes upon."""
    job, reading, writing = os.urandom(16), *os.pipe()
    meshes = [Mesh(job=job, rank=rank, incarnation=1, monitor=Quiet(), transport=transport) for rank in range(2)]
    addresses = [mesh.address for mesh in meshes]
    pid = os.fork()
    if pid == 0:
        _be_killed(job, transport, addresses, writing, call, count, last, cut)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        addresses.append(pipe.readline().strip())
    found: list[Any] = [None, None]
    ends: list[Any] = [None, None]

    def survive(rank: int) -> None:
        try:
            comm = world_of(meshes[rank].enter(generation=1, size=3, addresses=addresses, incarnations=[1, 1, 1]))
            comm.alltoall([0] * 3)
            found[rank] = (call(comm, count),)
            while True:
                comm.barrier()
        except BaseException as error:
            ends[rank] = error

    threads = [threading.Thread(target=survive, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    for mesh in meshes:
        mesh.revoke(1)
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), f"a survivor was left behind: {count=} {last=} {cut=}"
    for mesh in meshes:
        mesh.close()
    assert [type(end) for end in ends] == [GenerationRevoked] * 2, ends
    return found


def _be_killed(
    job: bytes, transport: Any, addresses: list[str], writing: int, call: catalogue.Call, count: int, last: int, cut: bool
) -> None:
    """The life of rank 2. Whatever else happens, it ends."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        signal.alarm(int(DEADLINE_S))
        mesh = Mesh(job=job, rank=2, incarnation=1, monitor=Quiet(), transport=transport)
        os.write(writing, (mesh.address + "\n").encode())
        comm = world_of(mesh.enter(generation=1, size=3, addresses=[*addresses, mesh.address], incarnations=[1, 1, 1]))
        comm.alltoall([0] * 3)
        frames = Frames(comm, last, cut, leave=lambda: os.kill(os.getpid(), signal.SIGKILL))
        frames.go_if_due()
        call(comm, count)
    finally:
        os._exit(1)
