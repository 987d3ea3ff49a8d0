"""A digest of a Python value that depends on the value only: not on identities, nor on how a pickle shares its parts.

Two equal boxes may pickle to different bytes, since pickle refers back to objects that it has seen, and whether two equal strings are
one object is history. So the value is walked: containers in order (sets in the order of their members' digests), arrays by their bytes,
everything else by its type and what `__reduce_ex__` says it is made of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import xxhash

from perdure.adapters.arrays import as_bytes, dtype_text

PLAIN: Final = frozenset({int, float, bool, str, complex, type(None)})
"""Types whose `repr` says all there is to a value. A list of them is hashed as a whole: a random state is a tuple of 625 numbers."""


def digest(value: Any) -> int:
    """xxh3-64 of the canonical form of `value`."""
    return _Walk().of(value)


class _Walk:
    """One walk. `_path` are the containers that it is inside of: a reference back to one is hashed as its depth."""

    def __init__(self) -> None:
        self._path: list[int] = []

    def of(self, value: Any) -> int:
        if id(value) in self._path:
            return _hash("cycle", [len(self._path) - self._path.index(id(value))])
        self._path.append(id(value))
        try:
            return self._of(value)
        finally:
            self._path.pop()

    def _of(self, value: Any) -> int:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if value is None or kind in (bool, int, str, complex):
            return _hash(name, repr(value))
        if kind is float:
            return _hash(name, value.hex() if value == value else repr(value))
        if kind in (bytes, bytearray):
            return _hash(name, bytes(value))
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            data = np.ascontiguousarray(value, value.dtype.newbyteorder("="))  # pickles of some arrays forget their byte order
            return _hash(f"{dtype_text(data.dtype)}{value.shape}", as_bytes(data).data)
        if kind in (list, tuple) and value and all(type(part) in PLAIN for part in value):
            return _hash(f"{name} of plain values", repr(value))
        if kind in (list, tuple):
            return _hash(name, [self.of(part) for part in value])
        if kind is dict:
            return _hash(name, [self.of(part) for pair in value.items() for part in pair])
        if kind in (set, frozenset):
            return _hash(name, sorted(self.of(part) for part in value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return _hash(name, [self.of(getattr(value, field.name)) for field in dataclasses.fields(value)])
        return self._of_reduced(name, value)

    def _of_reduced(self, name: str, value: Any) -> int:
        if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
            return _hash("named", f"{value.__module__}.{value.__qualname__}")
        reduced = value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return _hash(name, reduced)
        parts: list[Any] = []
        for part in reduced[1:]:
            parts.append(list(part) if isinstance(part, Iterator) else part)
        return _hash(name, [self.of(part) for part in parts])


def _hash(name: str, content: str | bytes | memoryview | list[int]) -> int:
    if isinstance(content, list):
        content = b"".join(part.to_bytes(8, "little") for part in content)
    elif isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    body = xxhash.xxh3_64(name.encode() + b"\0")
    body.update(content)
    return body.intdigest()
