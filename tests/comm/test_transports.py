"""Every transport passes the public suite; and what only rings have."""

from __future__ import annotations

import os
import socket

import pytest

from perdure.comm.transports import Transport, pending_connections
from perdure.comm.transports.ring import CAPACITY, Ring, allocate, available
from perdure.comm.transports.shared import SharedTransport
from perdure.comm.transports.stream_transport import StreamTransport
from perdure.comm.transports.threads import ThreadTransport
from perdure.streams.addresses import tcp_address, unix_address
from perdure.testing import TransportTests
from perdure.testing.transports import DEADLINE_S, GREETING, connected, receive


class TestUnix(TransportTests):
    def make(self, name: str) -> Transport:
        return StreamTransport(unix_address(name))


class TestTcp(TransportTests):
    def make(self, name: str) -> Transport:
        return StreamTransport(tcp_address("127.0.0.1"))


class TestThreads(TransportTests):
    def make(self, name: str) -> Transport:
        return ThreadTransport(name)


class TestShared(TransportTests):
    def make(self, name: str) -> Transport:
        return SharedTransport(name)


@pytest.mark.parametrize("tests", [TestUnix(), TestTcp(), TestShared()], ids=["unix", "tcp", "shared"])
def test_who_is_stopped_before_it_greets_is_waited_for_and_nobody_waits_behind_it(tests: TransportTests) -> None:
    """Of TCP a part of the greeting may come before the rest."""
    with tests.transports() as (here, there):
        kind, _, name = there.address.partition(":")
        late = socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX)
        late.connect(("127.0.0.1", int(name.rpartition(":")[2])) if kind == "tcp" else "\0" + name)
        if kind == "tcp":
            late.sendall(GREETING[:5])
        other = here.dial(there.address, GREETING[::-1])
        first = there.accept(len(GREETING))
        late.sendall(GREETING[5:] if kind == "tcp" else GREETING)
        second = there.accept(len(GREETING))
        assert first is not None
        assert second is not None
        assert (first[0], second[0]) == (GREETING[::-1], GREETING)
        late.sendall(b"x")
        assert receive(second[1], 1) == b"x"
        late.close()
        for stream in (other, first[1], second[1]):
            stream.close()


def test_of_too_many_who_say_nothing_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_connections, "PENDING_MAX", 2)
    with TestUnix().transports() as (here, there):
        silent = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for sock in silent:
            sock.connect("\0" + there.address.removeprefix("unix:"))
        sender, receiver = connected(here, there)
        silent[0].settimeout(DEADLINE_S)
        assert silent[0].recv(1) == b""
        assert silent[2].send(GREETING) == len(GREETING)
        for each in (sender, receiver, *silent):
            each.close()


@pytest.fixture
def ends():
    """A ring, mapped twice as in two processes."""
    fd = allocate()
    producer, consumer = Ring(fd), Ring(fd)
    os.close(fd)
    return producer, consumer


def test_a_ring_wraps_at_every_position(ends: tuple[Ring, Ring]) -> None:
    producer, consumer = ends
    target = memoryview(bytearray(CAPACITY))
    for size in (CAPACITY - 1, 5, 3, CAPACITY, 1, CAPACITY // 2 + 1):
        data = os.urandom(size)
        assert producer.write([data[: size // 3], data[size // 3 :]]) == size
        assert consumer.read_into(target) == size
        assert target[:size] == data
        consumer.give_back()


def test_a_full_ring_takes_only_what_has_been_given_back(ends: tuple[Ring, Ring]) -> None:
    producer, consumer = ends
    assert producer.write([bytes(CAPACITY + 10)]) == CAPACITY
    assert not producer.has_room()
    consumer.read_into(memoryview(bytearray(100)))
    assert producer.write([b"x" * 200]) == 0, "room that was not given back was taken"
    consumer.give_back()
    assert producer.write([b"x" * 200]) == 100


def test_what_a_producer_that_was_killed_had_not_published_is_never_read() -> None:
    fd = allocate()
    consumer = Ring(fd)
    pid = os.fork()
    if pid == 0:
        producer = Ring(fd)
        producer.write([b"published"])
        producer.data[9:16] = b"halfway"
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    os.close(fd)
    target = memoryview(bytearray(64))
    assert consumer.read_into(target) == 9
    assert consumer.read_into(target) == 0
    assert target[:9] == b"published"


def test_a_ring_cannot_be_cut_short_under_its_reader() -> None:
    fd = allocate()
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_rings_are_used_where_stores_keep_their_order() -> None:
    with TestShared().pair() as (sender, _):
        assert sender.in_memory == available()
