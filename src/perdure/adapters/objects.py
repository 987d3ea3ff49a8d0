"""Objects (dicts, lists, dataclasses, with all that they hold) to bytes and back, into the same object where there is one.

The bytes are: the number of parts, their lengths (8 bytes each, little-endian), then the parts, each at a multiple of `ALIGNMENT`. Part
0 is the table of nodes (`encoding`), the others are the bytes of arrays in order.
"""

from __future__ import annotations

import dataclasses
import marshal
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from perdure.adapters.decoding import Decoding
from perdure.adapters.encoding import Encoding
from perdure.adapters.fill_order import Unhashable
from perdure.adapters.modules import program_modules
from perdure.adapters.references import named_outside
from perdure.core.snapshot_index import ALIGNMENT
from perdure.errors import UsageError

Bytes = NDArray[np.uint8]


def is_object(value: Any) -> bool:
    """Return whether a value is a dict, a list, or an instance of a dataclass that can change."""
    if isinstance(value, dict | list):
        return True
    return dataclasses.is_dataclass(value) and not isinstance(value, type) and not type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Frozen:
    """An object's parts, borrowed from it, and where each will lie. `encoding` holds what they are borrowed from."""

    encoding: Encoding
    parts: tuple[memoryview, ...]
    starts: tuple[int, ...]
    nbytes: int

    def store(self, target: Bytes) -> None:
        """Write all of it to (nbytes,) uint8; zeros between the parts, so that equal objects are equal bytes."""
        head = struct.pack(f"<{len(self.parts) + 1}Q", len(self.parts), *map(len, self.parts))
        end = 0
        for part, start in zip((memoryview(head), *self.parts), (0, *self.starts), strict=True):
            target[end:start] = 0
            end = start + len(part)
            target[start:end] = np.frombuffer(part, np.uint8)

    def digest(self) -> int:
        """Return a digest of the value: equal values have equal ones on all ranks."""
        body = xxhash.xxh3_64()
        for part in self.parts:
            body.update(struct.pack("<Q", len(part)))
            body.update(part)
        return body.intdigest()

    def equals(self, source: Bytes) -> bool:
        """Return whether `source` holds this object."""
        parts = _parts(source)
        return len(parts) == len(self.parts) and all(
            len(mine) == len(its) and bool(np.array_equal(np.frombuffer(mine, np.uint8), its))
            for mine, its in zip(self.parts, parts, strict=True)
        )

    def try_restore(self) -> None:
        """Restore the object into a scratch copy, and compare. UsageError names the part that does not come back as it was."""
        encoding = self.encoding
        is_reduced = any(kind == "reduced" for kind, _ in encoding.classes)
        buffers = [np.frombuffer(buffer, np.uint8) for buffer in encoding.buffers]
        try:
            scratch = Decoding(encoding.item, encoding.nodes, buffers, copy=is_reduced).value
        except Unhashable as error:
            raise UsageError(f"the item {encoding.item!r} holds at {encoding.path(error.index)} {error}") from error
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(
                f"the item {encoding.item!r} holds an object that cannot be made again ({type(error).__name__}: {error})"
            ) from error
        original = Encoding(encoding.item, encoding.parts[0], by_value=encoding.by_value, witness=True) if is_reduced else encoding
        again = Encoding(encoding.item, scratch, by_value=encoding.by_value, witness=True)
        if original.head() == again.head():
            return
        differing = (index for index, (one, two) in enumerate(zip(original.nodes, again.nodes, strict=False)) if _differ(one, two))
        at = next(differing, 0)
        cls = type(original.parts[at])
        raise UsageError(
            f"the item {encoding.item!r} holds at {original.path(at)} a {cls.__name__} that pickling does not restore "
            f"exactly{_what(original.nodes[at], again.nodes[at])}: {_advice(cls)}"
        )


def _advice(cls: type) -> str:
    """Return what to do about a class whose objects pickling does not restore exactly."""
    if any(module.__name__ == cls.__module__ for module in program_modules()):
        return "keep all of its state in __getstate__, or leave the object out"
    return (
        f"{cls.__qualname__} is a class of the library {cls.__module__.partition('.')[0]}, so keep what it is made of in the item instead "
        "(its attributes as arrays, for example), and make the object in the superstep"
    )


def _differ(one: Any, two: Any) -> bool:
    """Whether two nodes differ; node numbers aside, which differ behind the first difference."""
    return bool(_without_numbers(one) != _without_numbers(two))


def _without_numbers(part: Any) -> Any:
    if type(part) in (tuple, list):
        return "part" if type(part) is tuple and len(part) == 1 and type(part[0]) is int else [_without_numbers(one) for one in part]
    return repr(part)


def _what(one: Any, two: Any) -> str:
    names = [set(node[-1][0]) if node[-1] and type(node[-1]) is list else set() for node in (one, two)]
    lost = sorted(name.rpartition(".")[2] for name in names[0] - names[1] if isinstance(name, str))
    return f" (it loses {', '.join(lost)})" if lost else ""


def freeze(name: str, value: Any, *, by_value: bool = False) -> Frozen:
    """Take an object apart. `by_value`: as of `Encoding`. UsageError: something in it cannot be restored exactly."""
    encoding = Encoding(name, value, by_value=by_value)
    parts = (memoryview(encoding.head()), *encoding.buffers)
    at = 8 * (len(parts) + 1)
    starts = []
    for part in parts:
        at = -(-at // ALIGNMENT) * ALIGNMENT
        starts.append(at)
        at += len(part)
    return Frozen(encoding, parts, tuple(starts), at)


def _parts(source: Bytes) -> list[Bytes]:
    count = int(source[:8].view("<u8")[0])
    lengths = source[8 : 8 * (count + 1)].view("<u8").tolist()
    parts, at = [], 8 * (count + 1)
    for length in lengths:
        at = -(-at // ALIGNMENT) * ALIGNMENT
        parts.append(source[at : at + length])
        at += length
    return parts


def thaw(name: str, source: Bytes) -> Any:
    """Return a new object like the one that was taken apart; it shares no memory with `source`."""
    head, *buffers = _parts(source)
    return Decoding(name, marshal.loads(head.data), buffers).value


def restore(name: str, source: Bytes, live: Any, *, by_value: bool = False) -> None:
    """Make `live` what was taken apart, in place, part by part.

    Raises:
        UsageError: it is an object of another class; or a part of it cannot be restored in place, and the program holds it by a name.
    """
    head, *buffers = _parts(source)
    old = Encoding(name, live, by_value=by_value)
    made = Decoding(name, marshal.loads(head.data), buffers, old)
    if made.value is not live:
        raise UsageError(
            f"the item {name!r} was committed as an object that cannot be restored into the {type(live).__name__} that is declared now: "
            "declare it alike at every entry"
        )
    gone = [index for index in range(1, len(old.parts)) if id(old.parts[index]) not in made.kept]
    del made
    named = named_outside(old, gone)
    if named:
        raise UsageError(
            f"the item {name!r} came back with another object at {old.path(named[0])} than the one that the program has a name for, "
            f"which is out of date now; take the part from the item after the loop's first superstep began, or keep its type and shape"
        )
