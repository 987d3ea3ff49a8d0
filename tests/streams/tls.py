"""An encrypted scheme: TLS over the streams of `tcp:`, as a user would add one. It does what a kernel's socket never does:

1. It holds bytes that its descriptor does not show: all records that came in one piece are decrypted at once.
2. Its records are not the pieces that callers send: a record of which the kernel takes only a part must be offered again.
3. It can send nothing before its peer has answered its handshake.
4. It passes no descriptors.

`python -m tests.streams.tls agent ...` is `perdure.launch.entrypoints` with this scheme, for agents and for the ranks on them.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

import trustme

from perdure.errors import InternalError
from perdure.launch import entrypoints
from perdure.streams import SCHEMES, EndOfStream, Listener, Scheme, Stream
from perdure.streams.protocol import FOR_EVER_S, Bytes, Credentials, GivenUp, Parcel

CERTIFICATE: Final = "PERDURE_TEST_CERTIFICATE"
"""A variable in the environment: the file of the certificate and the key that all processes of a job have."""
RECORD_BYTES: Final = 16 << 10
CALL_BYTES: Final = 1 << 20
LOOK_AGAIN_S: Final = 0.05


def make_certificate(folder: pathlib.Path) -> None:
    """Make a certificate that signs itself, and name it in the environment of this process and of those that it starts."""
    path = folder / "certificate.pem"
    authority = trustme.CA()
    for pem in (authority.private_key_pem, authority.cert_pem):
        pem.write_to_path(str(path), append=True)
    os.environ[CERTIFICATE] = str(path)


def _context(purpose: ssl.Purpose) -> ssl.SSLContext:
    """Both ends show the same certificate, and want to see it."""
    context = ssl.create_default_context(purpose, cafile=os.environ[CERTIFICATE])
    context.load_cert_chain(os.environ[CERTIFICATE])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if purpose is ssl.Purpose.CLIENT_AUTH:
        context.num_tickets = 0  # nobody would read them
    return context


class TlsStream:
    """See `perdure.streams.protocol.Stream`. One thread may send while another receives: the lock is held by no call that waits."""

    is_local = passes_files = False
    reads_ahead = True

    def __init__(self, below: Stream, *, is_server: bool) -> None:
        self._below, self._lock = below, threading.Lock()
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = _context(ssl.Purpose.CLIENT_AUTH if is_server else ssl.Purpose.SERVER_AUTH)
        self._tls = context.wrap_bio(self._came, self._goes, server_side=is_server)
        self._is_open = self._has_ended = False
        self._unsent = b""
        """Records that the stream below has not taken."""
        self._encrypted = 0
        """How many bytes of the sender's next pieces are in these records."""
        self._held = bytearray()
        self._timeout_s: float | None = None
        self.fileno = below.fileno
        if not is_server:
            with self._lock:
                self._shake_hands()

    # ---- calls that never wait ----------------------------------------------------------------------------------------------

    def pending(self) -> int:
        return len(self._held)

    def try_send(self, pieces: Sequence[Bytes]) -> int:
        with self._lock:
            if not self._shake_hands() or not self._flush():
                return 0
            sent = done = self._encrypted
            self._encrypted = 0
            for piece in pieces:
                view = memoryview(piece).cast("B")[done:]
                done = max(0, done - len(piece))
                while len(view) and sent < CALL_BYTES:
                    count = self._tls.write(view[:RECORD_BYTES])
                    if not self._flush():
                        self._encrypted = count
                        return sent
                    sent, view = sent + count, view[count:]
            return sent

    def try_receive(self, view: memoryview) -> int | None:
        data = self.try_receive_bytes(len(view))
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def try_receive_bytes(self, nbytes: int) -> bytes | None:
        with self._lock:
            if not self._held:
                self._take()
            data = bytes(self._held[:nbytes])
            del self._held[:nbytes]
            return data or (b"" if self._has_ended else None)

    def try_receive_parcel(self, nbytes: int) -> Parcel | None:
        data = self.try_receive_bytes(nbytes)
        return None if data is None else Parcel(data, [])

    def is_quiet(self) -> bool:
        with self._lock:
            self._take()
            return not self._held and not self._has_ended

    def has_ended(self) -> bool:
        return self._has_ended or self._below.has_ended()

    def awaits_peer(self) -> bool:
        return not self._is_open and not self._unsent

    def _shake_hands(self) -> bool:
        """Return whether both ends have agreed. OSError: they cannot."""
        while not self._is_open:
            try:
                self._tls.do_handshake()
                self._is_open = True
            except ssl.SSLWantReadError:
                if not self._fill():
                    break
            finally:
                self._flush()
        return self._is_open

    def _fill(self) -> bool:
        """Return whether something came, encrypted as it is. EndOfStream: the peer has ended in the middle of the handshake."""
        data = self._below.try_receive_bytes(1 << 16)
        if data == b"":
            self._has_ended = True
            if not self._is_open:
                raise EndOfStream("the peer has ended before it was known")
        return bool(data and self._came.write(data))

    def _flush(self) -> bool:
        """Return whether the stream below has taken all records."""
        self._unsent += self._goes.read()
        while self._unsent and (count := self._below.try_send([self._unsent])):
            self._unsent = self._unsent[count:]
        return not self._unsent

    def _take(self) -> None:
        """Decrypt all that came."""
        try:
            if self._has_ended or not self._shake_hands():
                return
            self._fill()
            while data := self._tls.read(1 << 16):
                self._held += data
            self._has_ended = True
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self._has_ended = True

    # ---- calls that wait ------------------------------------------------------------------------------------------------------

    def send(self, *parts: Bytes) -> None:
        for part in parts:
            view = memoryview(part).cast("B")
            while len(view):
                sent = self.try_send([view])
                if not sent:
                    self._wait(select.POLLIN if self.awaits_peer() else select.POLLOUT)
                view = view[sent:]

    def receive_exactly(self, view: memoryview) -> None:
        while len(view):
            data = self.receive_bytes(len(view))
            if not data:
                raise EndOfStream("end of stream")
            view[: len(data)] = data
            view = view[len(data) :]

    def receive_bytes(self, nbytes: int) -> bytes:
        while (data := self.try_receive_bytes(nbytes)) is None:
            self._wait(select.POLLIN | (select.POLLOUT if self._unsent else 0))
        return data

    def _wait(self, events: int) -> None:
        """The thread that sends may take the bytes that the other one waits for, in a handshake: so that one looks again."""
        poll = select.poll()
        poll.register(self._below, events)
        deadline = time.monotonic() + (FOR_EVER_S if self._timeout_s is None else self._timeout_s)
        is_open = self._is_open
        while not poll.poll(min(LOOK_AGAIN_S, self._timeout_s or LOOK_AGAIN_S) * 1e3) and is_open == self._is_open:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no bytes were transferred for {self._timeout_s} s")

    def send_file(self, data: Bytes, fd: int) -> None:
        raise InternalError("an encrypted stream passes no files")

    def receive_file(self, nbytes: int) -> Parcel:
        raise InternalError("an encrypted stream passes no files")

    def set_timeout(self, seconds: float | None) -> None:
        self._timeout_s = seconds

    # ---- the rest -------------------------------------------------------------------------------------------------------------

    def set_bulk(self, buffer_bytes: int) -> None:
        self._below.set_bulk(buffer_bytes)

    def set_patience(self, seconds: int) -> None:
        self._below.set_patience(seconds)

    def peer(self) -> str:
        return self._below.peer()

    def credentials(self) -> Credentials | None:
        return None

    def end_sending(self) -> None:
        with self._lock:
            with contextlib.suppress(ssl.SSLWantReadError):  # the peer has not ended, and need not
                self._tls.unwrap()
            self._flush()
        self._below.end_sending()

    def shut_down(self) -> None:
        self._below.shut_down()

    def close(self) -> None:
        self._below.close()


class TlsListener:
    """See `perdure.streams.protocol.Listener`."""

    def __init__(self, below: Listener) -> None:
        self._below, self.fileno = below, below.fileno
        self.address = "tls:" + below.address.partition(":")[2]

    def accept(self) -> TlsStream:
        return TlsStream(self._below.accept(), is_server=True)

    def close(self) -> None:
        self._below.close()


class TlsScheme:
    """`tls:HOST:PORT`."""

    def __init__(self, below: Scheme) -> None:
        self._below = below

    def listen(self, rest: str) -> TlsListener:
        return TlsListener(self._below.listen(rest))

    def dial(self, rest: str) -> TlsStream:
        return TlsStream(self._below.dial(rest), is_server=False)

    def connect(self, rest: str, given_up: GivenUp) -> TlsStream:
        return TlsStream(self._below.connect(rest, given_up), is_server=False)


def use_tls() -> None:
    """Add the scheme to this process. Ranks, whose transport is called tcp, are encrypted as well."""
    SCHEMES["tls"] = SCHEMES["tcp"] = TlsScheme(SCHEMES["tcp"])


if __name__ == "__main__":
    use_tls()
    entrypoints.main(sys.argv)
