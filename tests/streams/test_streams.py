"""Every scheme passes the public suite; and what only one of them has."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator

import pytest

from perdure import streams
from perdure.errors import InternalError
from perdure.streams import SCHEMES, Stream
from perdure.streams.addresses import host_of, on_one_host, tcp_address, unix_address
from perdure.streams.packets import packet_pair
from perdure.streams.pairs import adopt, pair
from perdure.testing.streams import StreamTests, accepted, transfer


class TestUnix(StreamTests):
    scheme = SCHEMES["unix"]

    def place(self) -> str:
        return f"perdure-test-{os.getpid()}-{os.urandom(6).hex()}"


class TestTcp(StreamTests):
    scheme = SCHEMES["tcp"]

    def place(self) -> str:
        return "127.0.0.1:0"


def test_ipv6_addresses_have_colons_of_their_own() -> None:
    try:
        listener = streams.listen(tcp_address("::1"))
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
        pytest.skip("this machine has no IPv6")
    assert host_of(listener.address) == "::1"
    here = streams.connect(listener.address)
    there = accepted(listener)
    assert transfer(here, there, [b"x"]) == b"x"
    assert there.peer() == "::1"
    for each in (here, there, listener):
        each.close()


def test_an_address_belongs_to_one_listener() -> None:
    for address in (unix_address(TestUnix().place()), tcp_address("127.0.0.1")):
        first = streams.listen(address)
        with pytest.raises(OSError, match="in use"):
            streams.listen(first.address)
        first.close()


def test_an_address_of_no_scheme_is_our_fault() -> None:
    with pytest.raises(InternalError, match="pigeon:"):
        streams.dial("pigeon:roof")


def test_agents_on_one_host_are_found_by_their_addresses() -> None:
    addresses = [(1, "tcp:10.0.0.1:5"), (2, "tcp:10.0.0.11:5"), (3, "tcp:10.0.0.1:6"), (4, "unix:a"), (5, "unix:b"), (6, "tls:10.0.0.1:5")]
    assert on_one_host(addresses, "tcp:10.0.0.1:7") == [1, 3]
    assert on_one_host(addresses, "unix:c") == [4, 5]
    assert on_one_host(addresses, "tls:10.0.0.1:9") == [6]


def test_a_dial_to_a_host_that_is_not_there_does_not_wait() -> None:
    """The loop of an agent dials, and its heartbeats must go on meanwhile."""
    began = time.monotonic()
    try:
        stream = streams.dial(tcp_address("198.51.100.1", 9))
    except OSError:
        pass  # this machine knows that there is no way
    else:
        assert stream.try_send([b"x"]) == 0
        assert stream.try_receive_bytes(1) is None
        stream.shut_down()
        stream.close()
    assert time.monotonic() - began < 1.0


def full(name: str) -> tuple[socket.socket, list[socket.socket]]:
    """A listener of another program that accepts nobody, and as many as wait for it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0" + name)
    listener.listen(0)
    waiting = []
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        if waiting[-1].connect_ex("\0" + name) == errno.EAGAIN:
            return listener, waiting


def test_who_waits_for_a_full_listener_can_give_up() -> None:
    name = TestUnix().place()
    listener, waiting = full(name)
    asked: list[bool] = []

    def given_up() -> bool:
        asked.append(len(asked) > 2)
        return asked[-1]

    with pytest.raises(TimeoutError, match="the generation is over"):
        streams.connect(unix_address(name), given_up)
    assert asked[-1]
    with pytest.raises(TimeoutError, match="nobody accepts"):
        streams.dial(unix_address(name))
    for sock in (listener, *waiting):
        sock.close()


@contextlib.contextmanager
def strangers_stream() -> Iterator[tuple[socket.socket, Stream]]:
    """A socket of another program, and the stream that it is connected to."""
    name = TestUnix().place()
    listener, stranger = streams.listen(unix_address(name)), socket.socket(socket.AF_UNIX)
    stranger.connect("\0" + name)
    there = accepted(listener)
    yield stranger, there
    for each in (listener, stranger, there):
        each.close()


def test_of_several_files_one_is_taken_and_none_is_kept() -> None:
    with strangers_stream() as (stranger, there):
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(stranger, [b"x"], [0, 1, 2])
        parcel = there.try_receive_parcel(1)
        assert parcel is not None
        assert parcel.is_cut
        for fd in parcel.fds:
            os.close(fd)
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_stream_that_was_left_open_for_another_process_goes_on_there() -> None:
    ours, theirs = pair()
    fd = os.dup(theirs.fileno())
    theirs.close()
    adopted = adopt(fd)
    assert transfer(ours, adopted, [b"for you"]) == b"for you"
    ours.close()
    adopted.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_an_adopted_stream_leaves_the_descriptor_as_others_have_it() -> None:
    """Standard output may be a stream that other processes write to as well."""
    ours, theirs = socket.socketpair()
    for blocking in (True, False):
        theirs.setblocking(blocking)
        adopted = adopt(os.dup(theirs.fileno()))
        assert adopted.try_send([b"x"]) == 1
        assert os.get_blocking(theirs.fileno()) is blocking
        adopted.close()
    ours.close()
    theirs.close()


def test_packets_are_received_one_by_one_with_their_files() -> None:
    ours, theirs = packet_pair()
    read, write = os.pipe()
    ours.send(b"first")
    ours.send(b"second", [write])
    os.close(write)
    assert theirs.receive() == (b"first", [])
    data, (received,) = theirs.receive()
    assert data == b"second"
    os.write(received, b"through it")
    assert os.read(read, 100) == b"through it"
    os.close(received)
    os.close(read)
    ours.close()
    assert theirs.receive() == (b"", [])
    theirs.close()
