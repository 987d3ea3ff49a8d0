"""`mpi4py.typing`: the types of arguments, for annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, SupportsIndex

from perdure.comm.datatypes.datatype import Datatype
from perdure.comm.definitions.constants import BottomType, InPlaceType

__all__ = [
    "Aint", "Bottom", "BufSpec", "BufSpecB", "BufSpecV", "BufSpecW", "Buffer", "Count", "Displ", "InPlace", "Offset", "SupportsBuffer",
    "SupportsCAI", "SupportsDLPack", "TargetSpec", "TypeSpec",
]  # fmt: skip


class SupportsBuffer(Protocol):
    """An object with the buffer protocol."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Return a view of its memory (Python 3.12 and later)."""


class SupportsDLPack(Protocol):
    """An object that DLPack can exchange."""

    def __dlpack__(self, /, *, stream: Any = None) -> Any:
        """Return a capsule."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return (type of device, its number)."""


class SupportsCAI(Protocol):
    """An object with the CUDA array interface."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The address and layout of the memory."""


Aint = SupportsIndex
Count = SupportsIndex
Displ = SupportsIndex
Offset = SupportsIndex
Buffer = SupportsBuffer | SupportsDLPack | SupportsCAI
Bottom = BottomType | None
InPlace = InPlaceType | None
TypeSpec = Datatype | str
Counts = Sequence[Count]
Places = tuple[Counts, Sequence[Displ]]
Kinds = Sequence[Datatype]

BufSpecB = Buffer | tuple[Buffer, Count] | tuple[Buffer, TypeSpec] | tuple[Buffer, Count, TypeSpec] | list[Any]
BufSpec = BufSpecB | tuple[Bottom, Count, Datatype]
BufSpecV = (
    Buffer
    | tuple[Buffer, Counts]
    | tuple[Buffer, Places]
    | tuple[Buffer, TypeSpec]
    | tuple[Buffer, Counts, TypeSpec]
    | tuple[Buffer, Places, TypeSpec]
    | tuple[Buffer, Counts, Sequence[Displ], TypeSpec]
    | tuple[Bottom, Places, Datatype]
    | tuple[Bottom, Counts, Sequence[Displ], Datatype]
    | list[Any]
)
BufSpecW = (
    tuple[Buffer, Kinds]
    | tuple[Buffer, Places, Kinds]
    | tuple[Buffer, Counts, Sequence[Displ], Kinds]
    | tuple[Bottom, Places, Kinds]
    | tuple[Bottom, Counts, Sequence[Displ], Kinds]
    | list[Any]
)
TargetSpec = Displ | tuple[()] | tuple[Displ] | tuple[Displ, Count] | tuple[Displ, Count, TypeSpec] | list[Any]
