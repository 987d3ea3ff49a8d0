"""Ranks as threads, each with a mesh of its own over real sockets."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from perdure.comm import BAND, IN_PLACE, LAND, MAX, MIN, PROC_NULL, PROD, SUM, Communicator, world_of
from perdure.comm.messaging.mesh import HANDSHAKE
from perdure.errors import GenerationRevoked, UsageError
from tests.comm.worlds import DEADLINE_S, World


@pytest.fixture(params=["unix", "tcp", "shared", "threads"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world4(transport: str):
    world = World(4, transport)
    yield world
    world.close()


def test_a_ring_of_arrays_and_objects(world4: World) -> None:
    def body(comm: Communicator) -> Any:
        right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
        here = np.full(100_000, comm.rank, float)
        there = np.empty_like(here)
        comm.Sendrecv(here, right, 7, there, left, 7)
        word = comm.sendrecv({"from": comm.rank}, right, source=left)
        comm.Sendrecv(here, PROC_NULL, 0, there, PROC_NULL, 0)
        return there[0], there[-1], word

    assert world4.run(body) == [((r - 1) % 4, (r - 1) % 4, {"from": (r - 1) % 4}) for r in range(4)]


def test_messages_of_one_channel_keep_their_order_and_tags_select(world4: World) -> None:
    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            for number in range(50):
                comm.send(number, 1, tag=number % 2)
        if comm.rank == 1:
            odd = [comm.recv(source=0, tag=1) for _ in range(25)]
            even = [comm.recv(source=0, tag=0) for _ in range(25)]
            return odd, even
        return None

    assert world4.run(body)[1] == (list(range(1, 50, 2)), list(range(0, 50, 2)))


@pytest.mark.parametrize("count", [1, 3, 1000, 100_001])
@pytest.mark.parametrize(("op", "numpy_op"), [(SUM, np.add), (PROD, np.multiply), (MIN, np.minimum), (MAX, np.maximum)])
def test_reductions_give_the_same_on_all_ranks_and_every_time(count: int, op: Any, numpy_op: Any) -> None:
    world = World(3)
    parts = [np.random.default_rng(rank).normal(size=count) for rank in range(3)]

    def body(comm: Communicator) -> Any:
        out = np.empty(count)
        comm.Allreduce(parts[comm.rank], out, op)
        again = parts[comm.rank].copy()
        comm.Allreduce(IN_PLACE, again, op)
        top = np.empty(count)
        comm.Reduce(parts[comm.rank], top, op, root=1)
        return out, again, top

    results = world.run(body)
    world.close()
    expected = numpy_op(numpy_op(parts[0], parts[1]), parts[2])
    for out, again, _ in results:
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-15)
        assert out.tobytes() == results[0][0].tobytes() == again.tobytes()
    np.testing.assert_allclose(results[1][2], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_other_collectives(size: int) -> None:
    world = World(size)

    def body(comm: Communicator) -> Any:
        rank = comm.rank
        root = comm.size - 1
        everything = np.arange(comm.size * 3) if rank == root else np.empty(0, int)
        mine = np.empty(3, int)
        comm.Scatter(everything, mine, root)
        gathered = np.empty((comm.size, 3), int)
        comm.Gather(mine * 2, gathered if rank == 0 else None, 0)
        together = np.empty((comm.size, 3), int)
        comm.Allgather(mine, together)
        word = np.array([42]) if rank == 0 else np.zeros(1, int)
        comm.Bcast(word)
        comm.Barrier()
        objects = comm.allgather(str(rank)), comm.scatter(list("abcde"[: comm.size]) if rank == 0 else None), comm.allreduce(rank)
        logical = comm.allreduce(rank < 3, LAND), comm.allreduce(7 - rank, BAND)
        return mine.tolist(), gathered.tolist() if rank == 0 else None, together.tolist(), word[0], objects, logical

    results = world.run(body)
    world.close()
    whole = np.arange(size * 3).reshape(size, 3)
    for rank, (mine, gathered, together, word, objects, _) in enumerate(results):
        assert (mine, together, word) == (whole[rank].tolist(), whole.tolist(), 42)
        assert objects == ([str(r) for r in range(size)], "abcde"[rank], size * (size - 1) // 2)
        if rank == 0:
            assert gathered == (whole * 2).tolist()


def test_a_revoke_wakes_every_blocked_call_at_once_and_for_ever(world4: World) -> None:
    woken: list[float] = []

    def body(comm: Communicator) -> Any:
        try:
            if comm.rank == 0:
                comm.Recv(np.empty(1), 3)
            elif comm.rank == 1:
                comm.recv(source=2)
            else:
                comm.Barrier()
        except GenerationRevoked:
            woken.append(time.monotonic())
            with pytest.raises(GenerationRevoked):
                comm.Barrier()
            raise

    threads, results = world4.start(body)
    for thread in threads:
        thread.join(0.2)
        assert thread.is_alive(), "a rank did not block"
    revoked = time.monotonic()
    for mesh in world4.meshes:
        mesh.revoke(1)
    for thread in threads:
        thread.join(DEADLINE_S)
    assert [type(result) for result in results] == [GenerationRevoked] * 4
    assert max(woken) - revoked < 2.0
    assert world4.run(lambda comm: comm.allreduce(1)) == [4] * 4, "the next generation does not work"


def test_a_generation_entered_late_finds_what_others_sent_already() -> None:
    world = World(2)
    gate = threading.Event()
    addresses = [mesh.address for mesh in world.meshes]
    got: list[Any] = []

    def early() -> None:
        comm = world_of(world.meshes[0].enter(generation=5, size=2, addresses=addresses, incarnations=[1, 1]))
        comm.send("early", 1)
        gate.set()
        got.append(comm.recv(source=1))

    thread = threading.Thread(target=early)
    thread.start()
    assert gate.wait(DEADLINE_S)
    comm = world_of(world.meshes[1].enter(generation=5, size=2, addresses=addresses, incarnations=[1, 1]))
    assert comm.recv(source=0) == "early"
    comm.send("late", 0)
    thread.join(DEADLINE_S)
    world.close()
    assert got == ["late"]


def test_connections_of_another_job_generation_or_incarnation_are_refused() -> None:
    import socket

    world = World(2)
    world.run(lambda comm: comm.allreduce(1))
    name = world.meshes[0].address.removeprefix("unix:")
    job = world.meshes[0]._job
    for handshake in ((os.urandom(16), 1, 1, 1, 1), (job, 0, 1, 1, 1), (job, 1, 1, 7, 1), (job, 1, 9, 1, 1), (job, 1, 1, 1, 99)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect("\0" + name)
            sock.sendall(HANDSHAKE.pack(*handshake))
            assert sock.recv(1) == b"", handshake
    world.close()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda comm: comm.Send(np.zeros((4, 4))[:, 1], 0), "contiguous"),
        (lambda comm: comm.Send([1.0, 2.0], 0), "NumPy"),
        (lambda comm: comm.send(1, 9), "no rank 9"),
        (lambda comm: comm.send(lambda: 0, 0), "pickled"),
        (lambda comm: comm.send(1, 0, tag=-5), "tag"),
    ],
)
def test_misuse_is_told_in_words(call: Callable[[Communicator], Any], words: str) -> None:
    world = World(1)
    (result,) = world.run(call)
    world.close()
    assert isinstance(result, UsageError)
    assert words in str(result)


def test_a_message_longer_than_its_buffer_is_an_error_at_the_receiver() -> None:
    world = World(2)

    def body(comm: Communicator) -> Any:
        if comm.rank == 0:
            comm.Send(np.zeros(10), 1)
            return None
        comm.Recv(np.zeros(5), 0)

    results = world.run(body)
    world.close()
    assert "80 bytes" in str(results[1])


def test_a_collective_with_different_sizes_is_an_error_and_not_wrong_data() -> None:
    world = World(2)
    results = world.run(lambda comm: comm.Bcast(np.zeros(4 + comm.rank)))
    world.close()
    assert isinstance(results[1], UsageError)
