"""Whatever bytes arrive, the reader gives back messages or refuses with `WireError`; nothing else, and nothing is unpickled.

`pytest tests/wire --fuzz 1000000` makes more inputs than the usual run.
"""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.core import messages as msg
from perdure.wire import FrameReader, WireError, encode
from perdure.wire.frames import MAX_FRAME_BYTES
from tests.wire.test_frames import MESSAGES

STREAM = b"".join(encode(message) for message in MESSAGES)


class Trap:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("the wire has unpickled something",))


def read(data: bytes) -> str:
    """What came of these bytes; any other exception than WireError passes."""
    try:
        for message in FrameReader().feed(data):
            assert isinstance(message, msg.Message)
    except WireError:
        return "refused"
    return "read"


def damaged(dice: random.Random) -> bytes:
    """A stream of messages with something done to it."""
    data = bytearray(dice.choice([STREAM, *map(encode, MESSAGES)]))
    match dice.randrange(7):
        case 0:  # cut short
            del data[dice.randrange(len(data)) :]
        case 1:  # flipped bits
            for _ in range(dice.choice((1, 1, 2, 16))):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        case 2:  # another length
            struct.pack_into("<I", data, 0, dice.choice((0, 1, 2**31, 2**32 - 1, MAX_FRAME_BYTES + 1, dice.getrandbits(32))))
        case 3:  # random bytes, with an honest length before them
            body = dice.randbytes(dice.randrange(200))
            data = bytearray(struct.pack("<I", len(body)) + body)
        case 4:  # nothing but random bytes
            data = bytearray(dice.randbytes(dice.randrange(200)))
        case 5:  # a piece of one message in another
            start, stop = sorted(dice.randrange(len(STREAM)) for _ in range(2))
            at = dice.randrange(len(data))
            data[at : at + stop - start] = STREAM[start:stop]
        case _:  # a name that is no message, or a message's name over another one's fields
            name = dice.choice((b"EndWorker", b"Prepared", b"Seal", b"Plan", b"object", b"__reduce__"))
            body = b"\x92" + bytes([0xA0 | len(name)]) + name + dice.choice((b"\x80", b"\xc0", b"\x90", b"\x81\xa1a\x01"))
            data = bytearray(struct.pack("<I", len(body)) + body)
    return bytes(data)


def test_damaged_streams_are_read_or_refused(request: pytest.FixtureRequest) -> None:
    """The seed of an input is its number: what fails is found again."""
    came: dict[str, int] = {"read": 0, "refused": 0}
    for number in range(request.config.getoption("--fuzz")):
        data = damaged(random.Random(number))
        try:
            came[read(data)] += 1
        except Exception as error:
            raise AssertionError(f"input {number}, {data!r}: {error!r}") from error
    assert came["read"]
    assert came["refused"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.integers(min_value=1, max_value=400))
def test_random_bytes_are_refused_however_they_are_cut(data: bytes, step: int) -> None:
    """What is read does not depend on how the bytes came."""
    whole = read(data)
    reader, came = FrameReader(), "read"
    try:
        for start in range(0, len(data), step):
            list(reader.feed(data[start : start + step]))
    except WireError:
        came = "refused"
    assert came == whole


def test_a_pickle_is_only_bytes() -> None:
    import pickle

    body = pickle.dumps(Trap())
    assert read(struct.pack("<I", len(body)) + body) == "refused"
    assert read(encode(msg.Result(payload=body))) == "read"


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 2**31, 2**32 - 1])
def test_a_huge_length_is_refused_before_any_of_it_has_come(length: int) -> None:
    """A reader that waits for four gigabytes has given its memory to whoever asked."""
    assert read(struct.pack("<I", length)) == "refused"


def test_a_message_that_lacks_a_field_is_refused() -> None:
    """As a peer of another version would send it."""
    name = b"Installed"
    body = b"\x92" + bytes([0xA0 | len(name)]) + name + b"\x80"
    assert read(struct.pack("<I", len(body)) + body) == "refused"
