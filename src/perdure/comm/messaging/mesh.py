"""A worker's end of all connections: the listener, the handshake, and which generation is entered.

Each direction between two ranks has a connection of its own, made by the sender at its first message: so nobody races to connect. The
handshake names job, generation, rank and incarnation. A connection of another job, of an older generation or of a wrong incarnation is
closed; one of a newer generation waits here until this rank enters it, because ranks do not enter at the same instant.
"""

from __future__ import annotations

import hmac
import os
import struct
import threading
from collections.abc import Sequence
from typing import Final

from perdure.comm.messaging.engine import MessageEngine
from perdure.comm.messaging.monitor import Monitor
from perdure.comm.transports import Kind, OneWayStream, make
from perdure.comm.transports.refused_connections import RefusedConnections
from perdure.streams.protocol import GivenUp, never

HANDSHAKE: Final = struct.Struct("<16sIIII")
VERSION: Final = 2


class Mesh:
    """One per worker process. `enter` in the thread that runs `main`; `revoke` and `pause` from any thread, before or after it."""

    def __init__(
        self, *, job: bytes, rank: int, incarnation: int, monitor: Monitor, transport: Kind = "unix", host: str = "127.0.0.1"
    ) -> None:
        """`job`: 16 bytes that only ranks of the job know; so they are in no name. `host`: what ranks elsewhere call this machine."""
        self._job, self.rank, self.incarnation, self._monitor = job, rank, incarnation, monitor
        self._transport = make(transport, f"perdure-{os.urandom(8).hex()}-rank-{rank}-{incarnation}", host)
        self.address = self._transport.address
        self._lock = threading.Lock()
        self._engine: MessageEngine | None = None
        self._refused = RefusedConnections()
        self._parked: list[tuple[int, int, int, OneWayStream]] = []
        self._revoked = self._paused = 0
        threading.Thread(target=self._accept, name="comm-accept", daemon=True).start()

    def enter(self, *, generation: int, size: int, addresses: Sequence[str], incarnations: Sequence[int]) -> MessageEngine:
        """Return the messages of a generation, for `communicator.world_of`. Ends those of the generation before."""
        engine = MessageEngine(self, generation, size, tuple(addresses), tuple(incarnations), self._monitor)
        with self._lock:
            previous, self._engine = self._engine, engine
            parked, self._parked = self._parked, []
            if self._paused == generation:
                engine.traffic.pause(paused=True)
            if self._revoked >= generation:
                engine.traffic.revoke()
        if previous is not None:
            previous.traffic.close()
        for link in parked:
            self._hand_over(*link)
        return engine

    def revoke(self, generation: int) -> None:
        """Wakes every blocked call up to that generation; they raise `GenerationRevoked`. One that is entered later raises at once."""
        with self._lock:
            self._revoked = max(self._revoked, generation)
            if self._engine is not None and self._engine.generation <= generation:
                self._engine.traffic.revoke()

    def pause(self, generation: int, *, paused: bool) -> None:
        """Holds all frames of a generation back, or lets them go on."""
        with self._lock:
            self._paused = generation if paused else 0
            if self._engine is not None and self._engine.generation == generation:
                self._engine.traffic.pause(paused=paused)

    def close(self) -> None:
        """Ends the listener and all links."""
        self._transport.close()
        if self._engine is not None:
            self._engine.traffic.close()
        with self._lock:
            for _, _, _, stream in self._parked:
                stream.close()

    def dial(self, generation: int, address: str, given_up: GivenUp = never) -> OneWayStream:
        """A link to a rank of this generation; LinkRefused when nobody listens there, or it was given up."""
        return self._transport.dial(address, HANDSHAKE.pack(self._job, generation, self.rank, self.incarnation, VERSION), given_up)

    def _accept(self) -> None:
        try:
            self._take_all()
        except BaseException as error:
            self._monitor.failed(error)

    def _take_all(self) -> None:
        while link := self._transport.accept(HANDSHAKE.size):
            greeting, stream = link
            job, generation, rank, incarnation, version = HANDSHAKE.unpack(greeting)
            if not hmac.compare_digest(job, self._job) or version != VERSION:
                self._refused.tell(f"elsewhere to rank {self.rank}", "belongs to another job, or to another version of perdure")
                stream.close()
            else:
                self._hand_over(generation, rank, incarnation, stream)

    def _hand_over(self, generation: int, rank: int, incarnation: int, stream: OneWayStream) -> None:
        with self._lock:
            engine = self._engine
            if engine is None or generation > engine.generation:
                self._parked.append((generation, rank, incarnation, stream))
                return
        if generation < engine.generation or rank >= engine.size or engine.incarnations[rank] != incarnation:
            stream.close()
            return
        engine.traffic.accepted(rank, stream)
