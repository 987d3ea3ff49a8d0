"""A stranger's connection is refused before anything of it is read, said once, and holds up nobody."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
import time
from collections.abc import Iterator

import pytest

from perdure.comm.transports import pending_connections
from perdure.errors import ConfigError
from perdure.runtime.admission import HELLO, PEER, Admission
from perdure.runtime.loop import Loop
from perdure.runtime.reception import Reception
from perdure.streams import Listener, Stream, dial, listen
from perdure.streams.addresses import tcp_address, unix_address
from perdure.streams.protocol import PATIENCE_S

ADMISSION = Admission(os.urandom(32))
DEADLINE_S = 5.0


class House:
    """A reception and whom it has welcomed."""

    def __init__(self, address: str) -> None:
        self.loop, self.listener = Loop(), listen(address)
        self.address = self.listener.address
        self.welcomed: list[tuple[bytes, int]] = []
        self.opened: list[Stream | socket.socket] = []
        self.reception = Reception(self.loop, self.listener, ADMISSION, self._welcome)

    def _welcome(self, role: bytes, number: int, stream: Stream) -> None:
        self.welcomed.append((role, number))
        self.opened.append(stream)

    def connection(self) -> socket.socket:
        """As a stranger makes one."""
        kind, _, name = self.address.partition(":")
        host, _, port = name.rpartition(":")
        sock = socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX)
        self.opened.append(sock)
        sock.settimeout(DEADLINE_S)
        sock.connect((host, int(port)) if kind == "tcp" else "\0" + name)
        return sock

    def turn_until_hung_up(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.loop.turn(0.01)
            try:
                assert sock.recv(1) == b"", "a stranger was answered"
                return
            except BlockingIOError:
                assert time.monotonic() < deadline, "the stranger was not refused"
            except ConnectionError:
                return

    def turn_until_welcomed(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while len(self.welcomed) < count:
            assert time.monotonic() < deadline, "the connection was not welcomed"
            self.loop.turn(0.01)

    def close(self) -> None:
        self.loop.close()
        for each in (self.listener, *self.opened):
            each.close()


@pytest.fixture(params=["unix", "tcp"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    made = House(unix_address(f"test-{os.urandom(8).hex()}") if request.param == "unix" else tcp_address("127.0.0.1"))
    yield made
    made.close()


def test_who_knows_the_token_is_welcome_also_in_small_pieces(house: House) -> None:
    house.connection().sendall(ADMISSION.hello(PEER, 7) + b"more")
    slow = house.connection()
    for byte in ADMISSION.hello(PEER, 8):
        slow.sendall(bytes([byte]))
        house.loop.turn(0.01)
    house.turn_until_welcomed(2)
    assert sorted(house.welcomed) == [(PEER, 7), (PEER, 8)]


def test_a_wrong_token_is_refused_and_logged_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    for token in (bytes(32), os.urandom(32), ADMISSION.token[:-1] + bytes([ADMISSION.token[-1] ^ 1])):
        stranger = house.connection()
        stranger.sendall(Admission(token).hello(PEER, 7))
        house.turn_until_hung_up(stranger)
    (record,) = caplog.records
    assert "does not know the job's token" in record.getMessage()
    assert not house.welcomed
    house.connection().sendall(ADMISSION.hello(PEER, 1))
    house.turn_until_welcomed(1)


def test_random_bytes_and_early_ends_are_refused(house: House) -> None:
    chance = random.Random(5)
    for _ in range(200):
        stranger = house.connection()
        stranger.sendall(chance.randbytes(chance.randint(0, 3 * HELLO.size)))
        stranger.shutdown(socket.SHUT_WR)
        house.turn_until_hung_up(stranger)
    assert not house.welcomed


def test_who_says_nothing_is_hung_up_on_in_time_and_holds_up_nobody(house: House) -> None:
    silent = house.connection()
    house.connection().sendall(ADMISSION.hello(PEER, 1))
    house.turn_until_welcomed(1)
    house.reception.expire(time.monotonic())
    silent.setblocking(False)
    with pytest.raises(BlockingIOError):
        silent.recv(1)
    house.reception.expire(time.monotonic() + PATIENCE_S + 1)
    house.turn_until_hung_up(silent)


def test_the_oldest_stranger_goes_when_there_are_too_many(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pending_connections.PENDING_MAX >= 1024, "all agents and workers of a large job dial at once"
    monkeypatch.setattr(pending_connections, "PENDING_MAX", 2)
    three = [house.connection() for _ in range(3)]
    house.turn_until_hung_up(three[0])
    three[2].sendall(ADMISSION.hello(PEER, 3))
    house.turn_until_welcomed(1)


class Full:
    """A listener in a process that has no descriptor left for the first of its connections."""

    def __init__(self, listener: Listener, times: int) -> None:
        self.listener, self.times = listener, times

    def accept(self) -> Stream:
        self.times -= 1
        if self.times >= 0:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.listener.accept()


def test_strangers_who_use_up_all_descriptors_go_before_the_process_does() -> None:
    watched: list[Stream] = []
    with contextlib.closing(listen(unix_address(f"test-{os.urandom(8).hex()}"))) as listener:
        full = Full(listener, 0)
        made = pending_connections.PendingConnections(full, watched.append, watched.remove)  # type: ignore[arg-type]
        strangers = [dial(listener.address) for _ in range(3)]
        made.let_in()
        made.let_in()
        first, second = watched
        full.times = 1
        made.let_in()
        assert watched == [second]
        assert first.fileno() < 0
        made.let_in()
        full.times = 3
        made.let_in()
        made.let_in()
        assert not watched
        with pytest.raises(ConfigError, match="no more connections can be accepted: Too many open files"):
            made.let_in()
        for stranger in strangers:
            stranger.close()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_files_that_a_stranger_brings_are_not_kept(count: int) -> None:
    house = House(unix_address(f"test-{os.urandom(8).hex()}"))
    before = len(os.listdir("/proc/self/fd"))
    stranger = house.connection()
    socket.send_fds(stranger, [Admission(bytes(32)).hello(PEER, 7)], [0] * count)
    house.turn_until_hung_up(stranger)
    assert len(os.listdir("/proc/self/fd")) == before + 1, "the stranger's own end is the only one that is left"
    house.connection().sendall(ADMISSION.hello(PEER, 1))
    house.turn_until_welcomed(1)
    house.close()
