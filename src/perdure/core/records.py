"""How are events, commands and messages made? As records: immutable, with named fields, and equal where their fields are.

    class Tick(Record, frozen=True, kw_only=True):
        late_s: float

A record is a `msgspec.Struct`. For a frozen dataclass Python compiles six generated methods, and each process of a job makes two hundred of
these classes when it starts: that took half of its time. `core` uses nothing else of msgspec; bytes are for `perdure.wire`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import structs

AnyRecord = TypeVar("AnyRecord", bound="Record")


class Record(msgspec.Struct, frozen=True):
    """The base of all records."""


def replace(record: AnyRecord, **changes: Any) -> AnyRecord:
    """Return a copy of the record with other values of some fields."""
    return structs.replace(record, **changes)


def fields_of(kind: type[Record]) -> tuple[tuple[str, bool], ...]:
    """Return the name of each field in order, and whether it has a default."""
    return tuple((one.name, not one.required) for one in structs.fields(kind))


def names_of(record: Record) -> tuple[str, ...]:
    """Return the names of the fields in order."""
    return record.__struct_fields__
