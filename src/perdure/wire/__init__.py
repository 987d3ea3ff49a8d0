"""How does a control message become bytes, and bytes a control message?

A frame is a length (4 bytes, little-endian) and a msgpack array `[type name, fields]`. Nothing is ever unpickled, and only the message
types of `perdure.core.messages` exist. No sockets here: bytes in, messages out. `event_json` does the same for job events, as JSON.
"""

from perdure.wire.frames import VERSION, FrameReader, WireError, encode

__all__ = ["VERSION", "FrameReader", "WireError", "encode"]
