"""Frames of control messages. A frame that is too long, cut short, of an unknown type or with wrong fields is a `WireError`."""

from __future__ import annotations

import struct
import typing
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from perdure.core import messages

VERSION: Final = 1
MAX_FRAME_BYTES: Final = (1 << 30) + (64 << 20)
"""The largest honest frame is a result, which `perdure.job` limits to 1 GiB."""
_HEADER: Final = struct.Struct("<I")

_DECODERS: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    one.__name__: msgspec.msgpack.Decoder(one) for one in typing.get_args(messages.Message)
}
"""Decoders, created in advance: the first message of a type would be slow, and many types occur in recoveries only."""
_NAMED: Final = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


class WireError(ValueError):
    """Bytes that no peer of this version would send; the connection is to be closed."""


def encode(message: messages.Message) -> bytes:
    """One message as one frame."""
    body = msgspec.msgpack.encode((type(message).__name__, message))
    if len(body) > MAX_FRAME_BYTES:
        raise WireError(f"a {type(message).__name__} of {len(body)} bytes is longer than a frame may be ({MAX_FRAME_BYTES})")
    return _HEADER.pack(len(body)) + body


class FrameReader:
    """Collects bytes of one connection and gives back whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Takes bytes as they came; yields every message that is complete now.

        Raises:
            WireError: at the first frame that is wrong; the reader is of no use afterwards.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise WireError(f"a frame of {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield _decode(body)


def _decode(body: bytes) -> Any:
    try:
        name, fields = _NAMED.decode(body)
        return _DECODERS[name].decode(fields)
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a frame that is not a message: {error}") from None
