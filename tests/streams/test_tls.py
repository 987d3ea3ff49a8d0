"""An encrypted scheme that a user adds passes the suites of streams and transports, and carries a job through a recovery."""

from __future__ import annotations

import pathlib
import queue
import threading
import time
from typing import Any

import numpy as np
import pytest

import perdure
from perdure.comm.transports import OneWayStream, Transport
from perdure.comm.transports.stream_transport import StreamTransport
from perdure.core.messages import Revoke
from perdure.engines import Capabilities
from perdure.engines.local import LocalEngine
from perdure.launch import supervisor
from perdure.runtime.channel import Channel
from perdure.runtime.loop import Loop
from perdure.streams import SCHEMES
from perdure.testing import TransportTests
from perdure.testing.streams import StreamTests, accepted
from perdure.testing.transports import DEADLINE_S, GREETING, until
from perdure.wire import encode
from tests.streams import tls

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def encrypted(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, and those that it starts, have a certificate and the scheme."""
    monkeypatch.setenv(tls.CERTIFICATE, "")  # so that it is restored
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    tls.make_certificate(tmp_path)
    monkeypatch.setitem(SCHEMES, "tls", tls.TlsScheme(SCHEMES["tcp"]))
    monkeypatch.setattr(supervisor, "ENTRY_POINT", "tests.streams.tls")


class TestTls(StreamTests):
    scheme = tls.TlsScheme(SCHEMES["tcp"])

    def place(self) -> str:
        return "127.0.0.1:0"


class Accepting(StreamTransport):
    """Accepts by a thread of its own, as ranks do: a handshake has two ends."""

    def __init__(self) -> None:
        super().__init__("tls:127.0.0.1:0")
        self._accepted: queue.SimpleQueue[tuple[bytes, OneWayStream] | None] = queue.SimpleQueue()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while link := super().accept(len(GREETING)):
            self._accepted.put(link)
        self._accepted.put(None)

    def accept(self, greeting_bytes: int) -> tuple[bytes, OneWayStream] | None:
        assert greeting_bytes == len(GREETING)
        return self._accepted.get()


class TestTlsBetweenRanks(TransportTests):
    def make(self, name: str) -> Transport:
        return Accepting()


def test_a_loop_does_not_sleep_while_a_stream_holds_messages() -> None:
    """All of them come in one piece, of which a channel takes a part at a time."""
    count = 20_000
    loop, received = Loop(), list[Any]()
    with TestTls().pair() as (here, there):
        loop.read(Channel(there), received.append)
        data = memoryview(b"".join(encode(Revoke(generation=number)) for number in range(count)))
        deadline = time.monotonic() + DEADLINE_S
        while len(received) < count:
            if data:
                data = data[here.try_send([data]) :]
            loop.turn(DEADLINE_S if not data else 0.0)
            assert time.monotonic() < deadline, f"the loop slept when {len(received)} of {count} messages had been taken"
        loop.close()
    assert received == [Revoke(generation=number) for number in range(count)]


def test_a_loop_sleeps_while_a_stream_awaits_its_peer() -> None:
    """A descriptor that is writable all the time would cost a processor until the peer answers the handshake."""
    loop, received, flushes = Loop(), list[Any](), []
    with TestTls().listener() as (listener, place):
        channel = Channel(TestTls.scheme.dial(place))
        flush = channel.flush
        channel.flush = lambda: flushes.append(1) or flush()  # type: ignore[method-assign, func-returns-value]
        loop.read(channel, received.append)
        loop.send(channel, Revoke(generation=7))
        until(lambda: loop.turn(0.0) or channel.stream.awaits_peer())
        flushes.clear()
        loop.turn(0.05)
        assert not flushes
        other = Channel(accepted(listener))
        loop.read(other, received.append)
        until(lambda: loop.turn(0.01) or received)
        assert received == [Revoke(generation=7)]
        for each in (channel, other):
            loop.hang_up(each)
        loop.close()


class TlsEngine(LocalEngine):
    """Nodes of this machine that reach one another as those of several would, encrypted."""

    capabilities = Capabilities(transports=("tcp",), shares_memory=True)

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def listen_address(self, name: str) -> str:
        self.addresses.append("tls:127.0.0.1:0")
        return self.addresses[-1]


def program(job: Any, supersteps: int) -> list[float]:
    values = job.sharded("values", (100_000 * job.size,), init=lambda index: float(job.rank + 1))
    for _ in job.supersteps(supersteps, commit_every=2):
        before = np.empty_like(values)
        job.comm.Sendrecv(values, dest=(job.rank + 1) % job.size, recvbuf=before, source=(job.rank - 1) % job.size)
        values += 0.5 * before
    return [float(part) for part in job.comm.allgather(float(values.sum()))]


@pytest.mark.parametrize("parity", [1, 2])
def test_a_job_over_an_encrypted_scheme_recovers(parity: int) -> None:
    """A rank is lost together with its node: commits, offers, chunks and messages between ranks all go over TLS."""
    undisturbed = perdure.run(program, ranks=4, spares=0, parity=parity, arguments={"supersteps": 8})
    engine = TlsEngine()
    report = perdure.run(
        program, engine=engine, ranks=4, spares=1, parity=parity, arguments={"supersteps": 8}, faults=["kill:node=1,superstep=5"]
    )
    assert report.result == undisturbed.result
    assert report.generations == 2
    assert engine.addresses
