"""A worker's end of all connections: the listener, the handshake, and which generation is entered.

Each direction between two ranks has a connection of its own, made by the sender at its first message: so nobody races to connect. The
handshake names job, generation, rank and incarnation. A connection of another job, of an older generation or of a wrong incarnation is
closed; one of a newer generation waits here until this rank enters it, because ranks do not enter at the same instant.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

from perdure.comm.engine import Engine, LinkRefused

if TYPE_CHECKING:
    from perdure.comm.communicator import Communicator

HANDSHAKE: Final = struct.Struct("<16sIIII")
VERSION: Final = 1
HANDSHAKE_TIMEOUT_S: Final = 2.0
"""A dialler sends its 32 bytes at once; one that does not is none of ours."""


class Monitor(Protocol):
    """What the runtime wants to know of the communicator. Called by the thread that runs `main`."""

    def enter(self, call: str) -> None:
        """A public call begins; may raise `UsageError` or `GenerationRevoked`."""

    def leave(self) -> None:
        """It ends."""

    def moved(self, nbytes: int) -> None:
        """So many bytes of the application were sent or received."""

    def suspect(self, rank: int) -> None:
        """The connection of a rank ended although the generation is not revoked: a hint."""


class Mesh:
    """One per worker process. `enter`, and then `revoke` from any thread."""

    def __init__(self, *, job: bytes, rank: int, incarnation: int, monitor: Monitor, transport: Literal["unix", "tcp"] = "unix") -> None:
        self._job, self.rank, self.incarnation, self._monitor = job, rank, incarnation, monitor
        if transport == "unix":
            name = f"perdure-{job.hex()}-rank-{rank}-{incarnation}-{os.getpid()}"
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind("\0" + name)
            self.address = "unix:" + name
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self._listener.listen(128)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._parked: list[tuple[int, int, int, socket.socket]] = []
        threading.Thread(target=self._accept, name="comm-accept", daemon=True).start()

    def enter(self, *, generation: int, size: int, addresses: Sequence[str], incarnations: Sequence[int]) -> Communicator:
        """The communicator of a generation. Ends the one before."""
        from perdure.comm.communicator import Communicator

        engine = Engine(self, generation, size, tuple(addresses), tuple(incarnations), self._monitor)
        with self._lock:
            previous, self._engine = self._engine, engine
            parked, self._parked = self._parked, []
        if previous is not None:
            previous.revoke()
            previous.close()
        for link in parked:
            self._hand_over(*link)
        return Communicator(engine)

    def revoke(self, generation: int) -> None:
        """Wakes every blocked call of that generation; they raise `GenerationRevoked`. Any thread; idempotent."""
        engine = self._engine
        if engine is not None and engine.generation <= generation:
            engine.revoke()

    def pause(self, *, paused: bool) -> None:
        """Holds all frames back, or lets them go on. Any thread."""
        engine = self._engine
        if engine is not None:
            engine.pause(paused=paused)

    def close(self) -> None:
        """Ends the listener and all connections."""
        with contextlib.suppress(OSError):  # it may not be connected: shutting it down is only to wake the accepting thread
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._engine is not None:
            self._engine.revoke()
            self._engine.close()

    def dial(self, generation: int, address: str) -> socket.socket:
        """A connection to a rank of this generation; LinkRefused when nobody listens there."""
        kind, _, where = address.partition(":")
        try:
            if kind == "unix":
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.connect("\0" + where)
            else:
                host, _, port = where.rpartition(":")
                sock = socket.create_connection((host, int(port)), HANDSHAKE_TIMEOUT_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(HANDSHAKE.pack(self._job, generation, self.rank, self.incarnation, VERSION))
        except OSError as error:
            raise LinkRefused(str(error)) from None
        sock.setblocking(False)
        return sock

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(HANDSHAKE_TIMEOUT_S)
            try:
                if sock.family == socket.AF_UNIX and _peer_uid(sock) != os.getuid():
                    raise LinkRefused("another user")
                job, generation, rank, incarnation, version = HANDSHAKE.unpack(sock.recv(HANDSHAKE.size, socket.MSG_WAITALL))
            except (OSError, struct.error):
                sock.close()
                continue
            if job != self._job or version != VERSION:
                sock.close()
                continue
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            self._hand_over(generation, rank, incarnation, sock)

    def _hand_over(self, generation: int, rank: int, incarnation: int, sock: socket.socket) -> None:
        with self._lock:
            engine = self._engine
            if engine is None or generation > engine.generation:
                self._parked.append((generation, rank, incarnation, sock))
                return
        if generation < engine.generation or rank >= engine.size or engine.incarnations[rank] != incarnation:
            sock.close()
            return
        engine.accepted(rank, sock)


def _peer_uid(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8], "little")
