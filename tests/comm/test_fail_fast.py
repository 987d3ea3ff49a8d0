"""No call outlives its generation: whatever a rank waits in, a revoke wakes it, and a killed peer leaves nobody behind."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from perdure.comm import Communicator, Mesh
from perdure.comm.links import HEAD
from perdure.comm.requests import Request
from perdure.errors import GenerationRevoked, InternalError
from tests.comm.worlds import DEADLINE_S, Quiet, World

LARGE = 1 << 21
"""Doubles; more than a stream or a socket holds, so that a send waits as well."""
Call = Callable[[Communicator], Any]


def _cart(comm: Communicator) -> Any:
    return comm.Create_cart([comm.size], periods=True)


BLOCKED: dict[str, Call] = {
    "Recv": lambda comm: comm.Recv(np.empty(1), 1),
    "Recv from any": lambda comm: comm.Recv(np.empty(1)),
    "recv": lambda comm: comm.recv(source=1),
    "Send": lambda comm: comm.Send(np.zeros(LARGE), 1),
    "Ssend": lambda comm: comm.Ssend(np.zeros(1), 1),
    "ssend": lambda comm: comm.ssend(1, 1),
    "Sendrecv": lambda comm: comm.Sendrecv(np.zeros(1), 1, 0, np.empty(1), 1),
    "Sendrecv_replace": lambda comm: comm.Sendrecv_replace(np.zeros(1), 1, 0, 1),
    "Wait": lambda comm: comm.Irecv(np.empty(1), 1).Wait(),
    "Waitall": lambda comm: Request.Waitall([comm.Irecv(np.empty(1), 1), comm.irecv(source=1)]),
    "Waitany": lambda comm: Request.Waitany([comm.Irecv(np.empty(1), 1), comm.irecv(source=1)]),
    "Waitsome": lambda comm: Request.Waitsome([comm.Irecv(np.empty(1), 1)]),
    "a persistent request": lambda comm: (request := comm.Recv_init(np.empty(1), 1)).Start() or request.Wait(),
    "Probe": lambda comm: comm.Probe(1),
    "Mprobe": lambda comm: comm.Mprobe(1),
    "Iprobe in a loop": lambda comm: all(not comm.Iprobe(1) for _ in iter(int, 1)),
    "Test in a loop": lambda comm: all(not request.Test() for request in iter(lambda: comm.Irecv(np.empty(1), 1), None)),
    "Barrier": lambda comm: comm.Barrier(),
    "Bcast": lambda comm: comm.Bcast(np.zeros(1), 1),
    "Bcast of much": lambda comm: comm.Bcast(np.zeros(LARGE), 1),
    "Reduce": lambda comm: comm.Reduce(np.zeros(1), np.zeros(1)),
    "Allreduce": lambda comm: comm.Allreduce(np.zeros(1), np.zeros(1)),
    "Allreduce of much": lambda comm: comm.Allreduce(np.zeros(LARGE), np.zeros(LARGE)),
    "Scan": lambda comm: comm.Scan(np.zeros(1), np.zeros(1)) or comm.Barrier(),
    "Exscan": lambda comm: comm.Exscan(np.zeros(1), np.zeros(1)) or comm.Barrier(),
    "Reduce_scatter_block": lambda comm: comm.Reduce_scatter_block(np.zeros(3), np.zeros(1)),
    "Gather": lambda comm: comm.Gather(np.zeros(1), np.zeros(3)),
    "Scatter": lambda comm: comm.Scatter(None, np.zeros(1), 1),
    "Allgather": lambda comm: comm.Allgather(np.zeros(1), np.zeros(3)),
    "Alltoall": lambda comm: comm.Alltoall(np.zeros(3), np.zeros(3)),
    "Ibarrier": lambda comm: comm.Ibarrier().Wait(),
    "Iallreduce": lambda comm: comm.Iallreduce(np.zeros(LARGE), np.zeros(LARGE)).Wait(),
    "Allreduce_init": lambda comm: (request := comm.Allreduce_init(np.zeros(1), np.zeros(1))).Start() or request.Wait(),
    "bcast": lambda comm: comm.bcast(None, 1),
    "gather": lambda comm: comm.gather(1),
    "scatter": lambda comm: comm.scatter(None, 1),
    "allgather": lambda comm: comm.allgather(1),
    "alltoall": lambda comm: comm.alltoall([1, 2, 3]),
    "allreduce": lambda comm: comm.allreduce(1),
    "scan": lambda comm: comm.scan(1) and comm.barrier(),
    "Split": lambda comm: comm.Split(),
    "Neighbor_allgather": lambda comm: _cart(comm).Neighbor_allgather(np.zeros(1), np.zeros(2)),
    "neighbor_alltoall": lambda comm: _cart(comm).neighbor_alltoall([1, 2]),
}


@pytest.fixture(params=["unix", "tcp", "shared", "threads"], scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(3, request.param)
    yield world
    world.close()


@pytest.mark.parametrize("call", BLOCKED, ids=str)
def test_a_revoke_wakes_a_rank_that_waits_in(world: World, call: str) -> None:
    inside = threading.Event()

    def body(comm: Communicator) -> Any:
        if comm.rank != 0:
            return None
        inside.set()
        return BLOCKED[call](comm)

    threads, results = world.start(body)
    assert inside.wait(DEADLINE_S)
    for thread in threads[1:]:
        thread.join(DEADLINE_S)
    threads[0].join(0.02)
    assert threads[0].is_alive(), f"{call} did not wait: {results[0]!r}"
    world.revoke()
    threads[0].join(DEADLINE_S)
    assert not threads[0].is_alive(), f"{call} was not woken"
    assert isinstance(results[0], GenerationRevoked)


def test_after_all_that_a_new_generation_works(world: World) -> None:
    assert world.run(lambda comm: comm.allreduce(comm.rank)) == [3, 3, 3]


def test_a_revoke_that_comes_before_the_generation_is_entered_is_not_forgotten(world: World) -> None:
    """The agent's Enter and Revoke are heard by the control thread; the thread of `main` may take the Enter up only after both."""
    for mesh in world.meshes:
        mesh.revoke(world.generation + 1)
    assert [type(result) for result in world.run(lambda comm: comm.recv(source=0))] == [GenerationRevoked] * world.size
    assert world.run(lambda comm: comm.allreduce(comm.rank)) == [3, 3, 3]


def test_a_pause_that_comes_before_the_generation_is_entered_holds_its_frames(world: World) -> None:
    generation, left = world.generation + 1, threading.Event()
    world.meshes[0].pause(generation, paused=True)

    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            comm.send("frame", 1)
            left.set()
        return comm.recv(source=0) if comm.rank == 1 else None

    threads, results = world.start(body)
    assert not left.wait(0.1)
    world.meshes[0].pause(generation, paused=False)
    for thread in threads:
        thread.join(DEADLINE_S)
    assert results[1] == "frame"


@pytest.mark.parametrize("transport", ["unix", "shared", "tcp"])
@pytest.mark.parametrize("count", [1, 40_000, 300_000])
@pytest.mark.parametrize("call", ["Allreduce", "Bcast", "Allgather", "Alltoall", "Reduce", "Scan", "Barrier"])
def test_a_peer_that_is_killed_inside_a_collective_leaves_nobody_behind(transport: Any, count: int, call: str) -> None:
    """Rank 2 is a process that is killed at an instant of its own choice, again and again in another phase of the collective."""
    for phase in range(2):
        job, reading, writing = os.urandom(16), *os.pipe()
        meshes = [Mesh(job=job, rank=rank, incarnation=1, monitor=Quiet(), transport=transport) for rank in range(2)]
        addresses = [mesh.address for mesh in meshes]
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            signal.alarm(int(DEADLINE_S))
            _victim(job, transport, addresses, writing, call, count, phase)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            addresses.append(pipe.readline().strip())
        results = _survivors(meshes, addresses, call, count, pid)
        for mesh in meshes:
            mesh.close()
        assert [type(result) for result in results] == [GenerationRevoked] * 2


def _repeat(comm: Communicator, call: str, count: int) -> None:
    """The collective for ever; the generation's end is the way out."""
    one, many = np.ones(count), np.ones(count * comm.size)
    arguments: dict[str, tuple[Any, ...]] = {
        "Allreduce": (one, one.copy()), "Reduce": (one, one.copy()), "Scan": (one, one.copy()), "Bcast": (one,), "Barrier": (),
        "Allgather": (one, many), "Alltoall": (many, many.copy()),
    }  # fmt: skip
    while True:
        getattr(comm, call)(*arguments[call])


def _victim(job: bytes, transport: Any, addresses: list[str], writing: int, call: str, count: int, phase: int) -> None:
    """A process that is rank 2, and kills itself after some messages: in another place of the collective for another number."""
    try:

        class Counting(Quiet):
            messages = 0

            def moved(self, nbytes: int) -> None:
                self.messages += 1
                if self.messages > 20 + phase * 3 + count % 7:
                    os.kill(os.getpid(), signal.SIGKILL)

        mesh = Mesh(job=job, rank=2, incarnation=1, monitor=Counting(), transport=transport)
        os.write(writing, (mesh.address + "\n").encode())
        _repeat(mesh.enter(generation=1, size=3, addresses=[*addresses, mesh.address], incarnations=[1, 1, 1]), call, count)
    finally:
        os._exit(1)


def _survivors(meshes: list[Mesh], addresses: list[str], call: str, count: int, pid: int) -> list[Any]:
    """Two ranks as threads. The kernel's word that the process is gone is what an agent revokes upon."""
    results: list[Any] = [None, None]

    def body(rank: int) -> None:
        comm = meshes[rank].enter(generation=1, size=3, addresses=addresses, incarnations=[1, 1, 1])
        try:
            _repeat(comm, call, count)
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=body, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    for mesh in meshes:
        mesh.revoke(1)
    deadline = time.monotonic() + DEADLINE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), "a survivor was left behind"
    return results


def test_a_lost_link_without_a_revoke_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.comm.traffic.PEER_LOST_TIMEOUT_S", 0.2)
    world = World(2)

    def body(comm: Communicator) -> Any:
        if comm.rank == 1:
            comm.send("hello", 0)
            comm.engine.traffic.close()
            return None
        comm.recv(source=1)
        return comm.recv(source=1)

    results = world.run(body)
    world.close()
    assert isinstance(results[0], InternalError)
    assert world.monitors[0].suspects == [1]


def test_a_frame_of_an_older_generation_is_refused(world: World) -> None:
    """A peer that lives on in the generation before cannot have its late messages taken for new ones."""

    def body(comm: Communicator) -> Any:
        if comm.rank == 1:
            link = comm.engine.traffic.outward(0)
            assert link is not None
            link.stream.send([HEAD.pack(0, comm.held().context, 0, 0, 0, comm.engine.generation - 1, 0, 0)])
        if comm.rank == 0:
            return comm.recv(source=1)
        return None

    results = world.run(body)
    assert isinstance(results[0], InternalError)
    assert "generation" in str(results[0])


def test_a_pause_holds_messages_back_and_its_end_lets_them_go() -> None:
    world = World(2, "shared")
    gate = threading.Event()

    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            world.meshes[0].pause(world.generation, paused=True)
            gate.set()
            comm.send("late", 1)
            return None
        assert gate.wait(DEADLINE_S)
        before = comm.iprobe(0)
        world.meshes[0].pause(world.generation, paused=False)
        return before, comm.recv(source=0)

    results = world.run(body)
    world.close()
    assert results[1] == (False, "late")
