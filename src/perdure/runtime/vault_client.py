"""The requesting end of a link between two agents: what the holder of a vault is asked for (see `vault_protocol` for the format)."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from perdure.core.ids import Label
from perdure.core.snapshot_index import SnapshotIndex
from perdure.mapping import Bytes, map_file
from perdure.runtime.vault_protocol import (
    CONFIRM,
    MAP,
    MAPPED,
    OFFERS,
    YES,
    LinkDown,
    receive_into,
    received_file,
    request,
)
from perdure.streams import Stream

Home = tuple[int, int]
"""A rank, and the agent that hosts it."""
_OFFERS: Final = msgspec.msgpack.Decoder(tuple[SnapshotIndex, ...])


def ask_offers(stream: Stream, label: Label, rank: int) -> tuple[SnapshotIndex, ...]:
    """All offers of the group of `rank` at a label."""
    request(stream, OFFERS, label, rank, 0, 0, 0)
    head = bytearray(8)
    receive_into(stream, memoryview(head))
    body = bytearray(struct.unpack("<Q", head)[0])
    receive_into(stream, memoryview(body))
    return _OFFERS.decode(body)


def ask_confirm(stream: Stream, label: Label, rank: int) -> None:
    """Asks whether all that was read of the rank's label on this link was the label's (rule R1); `confirmed` waits for the answer."""
    request(stream, CONFIRM, label, rank, 0, 0, 0)


def still_up(stream: Stream) -> None:
    """LinkDown if the peer has ended a link of this machine on which nothing is under way: that shows here at once."""
    if not stream.is_quiet():
        raise LinkDown("end of stream, or more than was asked for")


def confirmed(stream: Stream, label: Label, rank: int) -> None:
    """LinkDown unless it was."""
    if _one_byte(stream) != YES:
        raise LinkDown(f"{label} of rank {rank} was given up while it was read")


def stored(stream: Stream) -> None:
    """Wait for the answer to FINISH. LinkDown unless the chunk was stored with the digest that was sent."""
    if (answer := _one_byte(stream)) != YES:
        raise LinkDown(f"{answer!r} in place of the answer to a chunk")


def _one_byte(stream: Stream) -> bytearray:
    answer = bytearray(1)
    receive_into(stream, memoryview(answer))
    return answer


class PeerMaps:
    """Read-only mappings of other agents' memory files on this machine, kept from commit to commit: mapping costs, reading does not.

    The peer may overwrite what is mapped at any time; bytes count only after `confirm`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maps: dict[tuple[int, int], tuple[Home, Bytes]] = {}
        self._labels: dict[Home, tuple[tuple[Label, Bytes], ...]] = {}
        """Where the last two labels of a rank lay."""

    def asked(
        self, stream: Stream, label: Label, home: Home, position: int, nbytes: int, *, known: Label | None = None, start: int = 0
    ) -> Callable[[], Bytes]:
        """Asks for a chunk of data in place. To be called once, blocking: (nbytes,) uint8, read-only. It stays mapped for as long as it is
        held, or the rank is at home there. Nothing is asked where the label lies, at `start`, in the file that `known` lay in, if that is
        of the same generation and was asked for: in one generation the files of a rank are the same."""
        with self._lock:
            near = [mapped for of, mapped in self._labels.get(home, ()) if of == known and of.generation == label.generation]
            mapped = near[0] if near else None
            if mapped is not None:
                self._note(home, label, mapped)
                view = mapped[start : start + nbytes]
                return lambda: view
        request(stream, MAP, label, home[0], position, 0, nbytes)

        def answer() -> Bytes:
            with received_file(stream, MAPPED.size) as (head, fd):
                (begins,) = MAPPED.unpack(head)
                return self._map(fd, home, label)[begins : begins + nbytes]

        return answer

    def _note(self, home: Home, label: Label, mapped: Bytes) -> None:
        others = tuple(one for one in self._labels.get(home, ()) if one[0] != label)
        self._labels[home] = (*others[-1:], (label, mapped))

    def _map(self, fd: int, home: Home, label: Label) -> Bytes:
        """The whole file, its pages as they are read. Its number is given to no other file while it is mapped, so it is a key."""
        found = os.fstat(fd)
        key = (found.st_dev, found.st_ino)
        with self._lock:
            _, mapped = self._maps.get(key, (home, None))
            if mapped is None or len(mapped) < found.st_size:
                mapped = map_file(fd, found.st_size, writable=False)
            self._maps[key] = home, mapped
            self._note(home, label, mapped)
            return mapped

    def keep(self, is_home: Callable[[Home], bool]) -> None:
        """Lets go of the memory of ranks that are at home elsewhere now. Freeing it can take 0.1 s: no rank may wait for it."""
        with self._lock:
            gone = [key for key, (home, _) in self._maps.items() if not is_home(home)]
            doomed = [self._maps.pop(key) for key in gone], [self._labels.pop(home) for home in [*self._labels] if not is_home(home)]
        del doomed
