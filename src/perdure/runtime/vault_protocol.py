"""The message format of a link between two agents: requests, their framing, and how a link fails.

READ a range of a chunk · WRITE a range of a chunk · FINISH it, with the digest of the whole, answered when it is stored · OFFERS of a
group · REPLICATED region · MAP: the memory file that a chunk of data lies in, for an agent on the same machine · RING: memory through which
a chunk will be handed over on the same machine, and TAKE what lies there (see `rings`) · CONFIRM: were all chunks of that rank and label
that were read or mapped on this link the label's until now?

`vault_client` sends requests, `vault_server` answers them.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import Final

from perdure.comm.transports.resource_limits import check_resources
from perdure.core.ids import Label
from perdure.streams import Stream

REQUEST: Final = struct.Struct("<BIqIIQQQ")
"""verb, label (generation, superstep), rank, code position, offset, length, digest of the chunk (FINISH) or place (TAKE)."""
READ, WRITE, FINISH, OFFERS, REPLICATED, MAP, CONFIRM, RING, TAKE = 1, 2, 3, 4, 5, 6, 7, 8, 9
MAPPED: Final = struct.Struct("<Q")
"""The answer to MAP beside the file descriptor: where in the file the chunk begins."""
YES: Final = b"\1"
TILE_BYTES: Final = 1 << 20
"""What is worked on at once: received, encoded and sent while it is in the cache. A rebuild takes 7 % less than with half of it."""


class LinkDown(ConnectionError):
    """The link failed: the peer is gone, the generation is over, or the network between both gave up. A task that a label needs reports it
    (`LinkFailed`)."""


def receive_into(stream: Stream, view: memoryview) -> None:
    """Fills `view` or raises LinkDown."""
    try:
        stream.receive_exactly(view)
    except OSError as error:
        raise LinkDown(str(error)) from None


@contextlib.contextmanager
def received_file(stream: Stream, nbytes: int) -> Iterator[tuple[bytes, int]]:
    """The next `nbytes` of the link, and the descriptor of a memory file that comes with them, closed after the block; or LinkDown.
    ConfigError when there is no descriptor for it."""
    try:
        parcel = stream.receive_file(nbytes)
    except OSError as error:
        raise LinkDown(str(error)) from None
    try:
        if parcel.is_cut:
            check_resources("no memory file of another agent can be taken")
        if len(parcel.data) != nbytes or len(parcel.fds) != 1:
            raise LinkDown("end of stream")
        yield parcel.data, parcel.fds[0]
    finally:
        for fd in parcel.fds:
            os.close(fd)


def send_file(stream: Stream, head: bytes, fd: int) -> None:
    """Sends a memory file's descriptor with some bytes, or raises LinkDown."""
    try:
        stream.send_file(head, fd)
    except OSError as error:
        raise LinkDown(str(error)) from None


def send(stream: Stream, *parts: bytes | memoryview) -> None:
    """Sends all of it or raises LinkDown."""
    try:
        stream.send(*parts)
    except OSError as error:
        raise LinkDown(str(error)) from None


def request(stream: Stream, verb: int, label: Label, rank: int, position: int, offset: int, length: int, digest: int = 0) -> None:
    """Sends one request head."""
    send(stream, REQUEST.pack(verb, label.generation, label.superstep, rank, position, offset, length, digest))
