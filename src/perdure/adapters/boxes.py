"""Boxes (dicts, lists, dataclasses) to bytes and back into the same object. Pickle protocol 5; large buffers go beside the pickle.

The bytes are: the number of parts, their lengths (8 bytes each, little-endian), then the parts, each at a multiple of `ALIGNMENT`. Part
0 is the pickle, the others its buffers in order.
"""

from __future__ import annotations

import dataclasses
import pickle
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.core.offers import ALIGNMENT
from perdure.errors import UsageError

Bytes = NDArray[np.uint8]


def is_box(value: Any) -> bool:
    """A dict, a list, or an instance of a dataclass that can change."""
    if isinstance(value, dict | list):
        return True
    return dataclasses.is_dataclass(value) and not isinstance(value, type) and not type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Frozen:
    """A box's parts, borrowed from it, and where each will lie."""

    parts: tuple[memoryview, ...]
    starts: tuple[int, ...]
    nbytes: int

    def store(self, target: Bytes) -> None:
        """Writes all of it to (nbytes,) uint8; zeros between the parts, so that equal boxes are equal bytes."""
        head = struct.pack(f"<{len(self.parts) + 1}Q", len(self.parts), *map(len, self.parts))
        end = 0
        for part, start in zip((memoryview(head), *self.parts), (0, *self.starts), strict=True):
            target[end:start] = 0
            end = start + len(part)
            target[start:end] = np.frombuffer(part, np.uint8)


def freeze(name: str, value: Any) -> Frozen:
    """Pickles a box. UsageError when something in it cannot be pickled."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        stream = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except Exception as error:
        raise UsageError(f"the item {name!r} holds something that cannot be pickled: {error}") from error
    parts = (memoryview(stream), *(buffer.raw() for buffer in buffers))
    at = 8 * (len(parts) + 1)
    starts = []
    for part in parts:
        at = -(-at // ALIGNMENT) * ALIGNMENT
        starts.append(at)
        at += len(part)
    return Frozen(parts, tuple(starts), at)


def thaw(source: Bytes) -> Any:
    """A new object like the one that was frozen; it shares no memory with `source`."""
    count = int(source[:8].view("<u8")[0])
    lengths = source[8 : 8 * (count + 1)].view("<u8").tolist()
    parts, at = [], 8 * (count + 1)
    for length in lengths:
        at = -(-at // ALIGNMENT) * ALIGNMENT
        parts.append(bytearray(source[at : at + length].data))
        at += length
    return pickle.loads(parts[0], buffers=parts[1:])


def refill(box: Any, value: Any) -> None:
    """Makes `box` equal to `value`, of the same type, without replacing it."""
    if isinstance(box, dict):
        box.clear()
        box.update(value)
    elif isinstance(box, list):
        box[:] = value
    else:
        if hasattr(box, "__dict__"):
            vars(box).clear()
            vars(box).update(vars(value))
        for field in dataclasses.fields(box):  # those in slots; a class may have both
            setattr(box, field.name, getattr(value, field.name))
