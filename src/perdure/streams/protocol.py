"""The protocols of streams, listeners and schemes: their calls and capabilities.

A stream has calls that never wait (`try_...`) and calls that do, and no mode: both kinds may be used on one stream. One thread sends and
one receives at a time; `shut_down` may be called by any.

What no caller may assume, because an encrypted stream does not have it:

1. That a descriptor without anything to read means that there is nothing to receive. A stream that `reads_ahead` takes more from its
   descriptor than it hands out; `pending` counts what it holds.
2. That bytes which `try_send` has not taken can be replaced. They must be offered again, first and unchanged: they may be encrypted
   already. When the descriptor is writable, it is time for that; or readable, if the stream `awaits_peer`.
3. That one call of `try_receive` gives all that has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

PATIENCE_S: Final = 90
"""Seconds during which the network repeats unacknowledged data: more than `unreachable_timeout_s` and `silence_s` together."""
FOR_EVER_S: Final = 20 * 86400
"""For streams whose receiver may compute for hours before it receives: the network counts one that is full as one that does not
acknowledge."""

Bytes = memoryview | bytes
GivenUp = Callable[[], bool]
"""Called every few milliseconds while a connection is awaited: is it wanted no more, because the generation was revoked?"""


def never() -> bool:
    """Return False: the caller does not give up."""
    return False


class EndOfStream(ConnectionError):
    """The peer has ended the stream before all bytes that were expected."""


class Credentials(NamedTuple):
    """The process at the other end of a local stream, by the word of the kernel."""

    pid: int
    uid: int


@dataclass(slots=True)
class Parcel:
    """Received bytes and the descriptors of files that came with them, which are the receiver's to close.

    `is_cut`: more files came than the receiver takes, or than its process has descriptors for; the kernel has closed them.
    """

    data: bytes
    fds: list[int]
    is_cut: bool = False


class Stream(Protocol):
    """One end of a connection.

    Attributes:
        is_local: the peer is on this host: its end is seen at once, and no network lies between.
        passes_files: `send_file`, `receive_file` and `try_receive_parcel` pass descriptors, so memory can be shared with the peer.
        reads_ahead: it may hold bytes that its descriptor does not show: `pending` must be looked at before each poll.
    """

    is_local: bool
    passes_files: bool
    reads_ahead: bool

    def fileno(self) -> int:
        """Return the descriptor for polls: readable when something came or the peer has ended, writable when `try_send` may take more.
        -1 once closed."""

    def pending(self) -> int:
        """Return how many bytes `try_receive` would give without a look at the descriptor; 0 unless it `reads_ahead`."""

    # ---- calls that never wait --------------------------------------------------------------------------------------------

    def try_send(self, pieces: Sequence[Bytes]) -> int:
        """Return how many bytes of the pieces, one after the other, were taken; the others are to be offered again, first and unchanged.
        OSError: the peer is gone."""

    def try_receive(self, view: memoryview) -> int | None:
        """Return how many bytes were put into `view`; None: nothing came; 0: the end, in whatever way it came."""

    def try_receive_bytes(self, nbytes: int) -> bytes | None:
        """Return at most `nbytes` of what came; None: nothing came; empty: the end, in whatever way it came."""

    def try_receive_parcel(self, nbytes: int) -> Parcel | None:
        """The same with a file that may have come along. Where no files are passed there is none."""

    def is_quiet(self) -> bool:
        """Return True if nothing can be received, and the peer has not ended."""

    def has_ended(self) -> bool:
        """Return True if the peer has ended, whatever can still be received."""

    def awaits_peer(self) -> bool:
        """Return True while `try_send` takes nothing before something is received, as in a handshake: a caller polls for reading then,
        and not for writing, which would be ready at once and in vain."""

    # ---- calls that wait, at most as long as `set_timeout` says -----------------------------------------------------------

    def send(self, *parts: Bytes) -> None:
        """Send all of it. OSError: the peer is gone; TimeoutError: it takes nothing."""

    def receive_exactly(self, view: memoryview) -> None:
        """Fill `view`. OSError: the peer is gone; EndOfStream among them. TimeoutError: nothing comes."""

    def receive_bytes(self, nbytes: int) -> bytes:
        """Return at least one byte and at most `nbytes`; empty: the end, in whatever way it came. TimeoutError: nothing comes."""

    def send_file(self, data: Bytes, fd: int) -> None:
        """Send some bytes, and the descriptor of a file with them. OSError as of `send`."""

    def receive_file(self, nbytes: int) -> Parcel:
        """Return the next `nbytes`, fewer if the stream ends before, and the file that came with them. OSError as of `receive_exactly`."""

    def set_timeout(self, seconds: float | None) -> None:
        """Limit calls that wait for a peer; None: no limit, as at the beginning."""

    # ---- settings ---------------------------------------------------------------------------------------------------------

    def set_bulk(self, buffer_bytes: int) -> None:
        """Let other streams of this host go first, and ask for buffers of this size where the kernel does not choose them itself."""

    def set_patience(self, seconds: int) -> None:
        """Set how long the network repeats what the peer does not acknowledge; `PATIENCE_S` at the beginning."""

    # ---- the peer ---------------------------------------------------------------------------------------------------------

    def peer(self) -> str:
        """Return where the peer is, in words."""

    def credentials(self) -> Credentials | None:
        """Return the kernel's credentials of the peer's process; None if the kernel does not provide them."""

    # ---- the end ----------------------------------------------------------------------------------------------------------

    def end_sending(self) -> None:
        """Let the peer receive the end after all that was sent; it may still send. OSError: the peer is gone already."""

    def shut_down(self) -> None:
        """End both directions, and wake a thread that waits in a call. May be called by any thread."""

    def close(self) -> None:
        """Give the descriptor back; the peer receives the end."""


class Listener(Protocol):
    """Accepts streams.

    Attributes:
        address: what others dial.
    """

    address: str

    def fileno(self) -> int:
        """Return the descriptor for polls: readable when there is something to accept. -1 once closed."""

    def accept(self) -> Stream:
        """Return the next stream, without waiting. OSError: there is none, or this process has no means for it."""

    def close(self) -> None:
        """Refuse later dials, and wake a thread that polls the descriptor."""


class Scheme(Protocol):
    """A kind of addresses. `rest` is the text after the scheme's name and a colon; see the functions of `perdure.streams`."""

    def listen(self, rest: str) -> Listener:
        """Return a listener at an address of this kind."""

    def dial(self, rest: str) -> Stream:
        """Begin to connect."""

    def connect(self, rest: str, given_up: GivenUp) -> Stream:
        """Connect and wait for it."""
