"""No call outlives its generation: whatever a rank waits in, a revoke wakes it, and a killed peer leaves nobody behind."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from perdure.comm import Communicator, Mesh, world_of
from perdure.comm.messaging.links import HEAD
from perdure.comm.messaging.requests import Request
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
    revoked = time.monotonic()
    world.revoke()
    threads[0].join(DEADLINE_S)
    assert not threads[0].is_alive(), f"{call} was not woken"
    assert isinstance(results[0], GenerationRevoked)
    world.woken_ms[call] = (time.monotonic() - revoked) * 1000


def test_every_kind_of_call_was_woken_within_50_ms(world: World) -> None:
    """The median of all kinds: a busy machine may hold up any single one. The slowest are printed (`pytest -s`)."""
    found = world.woken_ms
    if not found:
        pytest.skip("the tests that measure it were not selected")
    slowest = ", ".join(f"{call} {found[call]:.1f}" for call in sorted(found, key=lambda call: -found[call])[:3])
    print(f"woken by a revoke over {world.transport}: median {statistics.median(found.values()):.2f} ms of {len(found)}; slowest {slowest}")
    assert statistics.median(found.values()) < 50.0


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
def test_a_revoke_wakes_a_rank_that_connects(transport: Any) -> None:
    """The peer's listener is there and takes nobody: its process is stopped, and as many wait for it as may."""
    with deaf_listener(transport) as address:
        mesh = Mesh(job=os.urandom(16), rank=0, incarnation=1, monitor=Quiet(), transport=transport)
        inside, result = threading.Event(), []

        def body() -> None:
            comm = world_of(mesh.enter(generation=1, size=2, addresses=[mesh.address, address], incarnations=[1, 1]))
            inside.set()
            try:
                comm.Send(np.zeros(1), 1)
            except GenerationRevoked:
                result.append(time.monotonic())

        thread = threading.Thread(target=body)
        thread.start()
        assert inside.wait(DEADLINE_S)
        thread.join(0.05)
        assert thread.is_alive(), "the connection was made"
        revoked = time.monotonic()
        mesh.revoke(1)
        thread.join(DEADLINE_S)
        mesh.close()
    assert result, "it was not woken"
    assert result[0] - revoked < 1.0, "it waited for the end of its patience with the listener"


@contextlib.contextmanager
def deaf_listener(transport: str) -> Iterator[str]:
    """The address of a listener that accepts nobody, and has no room for another who waits."""
    name = f"perdure-deaf-{os.getpid()}-{transport}"
    family: Any = socket.AF_INET if transport == "tcp" else socket.AF_UNIX
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.bind(("127.0.0.1", 0) if transport == "tcp" else "\0" + name)
        listener.listen(0)
        for _ in range(4):
            waits = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            waits.setblocking(False)
            waits.connect_ex(listener.getsockname())
        yield f"tcp:127.0.0.1:{listener.getsockname()[1]}" if transport == "tcp" else f"{transport}:{name}"


def test_a_lost_link_without_a_revoke_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.comm.messaging.traffic.PEER_LOST_TIMEOUT_S", 0.2)
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
            link.stream.send([HEAD.pack(0, comm.held().context, 0, 0, 0, comm.engine.generation - 1, 0, 0, 0)])
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
