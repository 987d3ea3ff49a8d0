"""Buffer arguments as mpi4py reads them: `data`, `[data, count]`, `[data, datatype]`, `[data, (counts, displs), datatype]` and so on."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.comm.datatypes.array_interfaces import BufferException
from perdure.comm.datatypes.datatype import BYTE, DATATYPE_NULL, Datatype, Type, by_code
from perdure.comm.datatypes.memory import Bytes, Memory, is_buffer, memory_of
from perdure.comm.definitions.constants import BOTTOM, IN_PLACE, PROC_NULL
from perdure.comm.definitions.failures import ErrorClass, MPIException, TypeException, ValueException

BYTE_TYPE: Type = BYTE.held()


def is_in_place(argument: Any) -> bool:
    """`IN_PLACE`, or None where a buffer may be in place."""
    return argument is None or argument is IN_PLACE


class CodeError(ValueException, KeyError):
    """A type code that means nothing."""


def as_datatype(argument: Any) -> Datatype:
    """A datatype, or the one of a type code."""
    if isinstance(argument, Datatype):
        return argument
    found = by_code.get(argument)
    if found is None:
        raise CodeError(ErrorClass.TYPE, f"there is no datatype for {argument!r}")
    return found


@dataclass(slots=True)
class TypedBuffer:
    """`count` elements of a datatype that begin at `memory[0]`."""

    memory: Bytes
    count: int
    type: Type

    @property
    def nbytes(self) -> int:
        """Bytes of data."""
        return self.count * self.type.map.size

    @property
    def dense(self) -> bool:
        """The data lies in a row, in `memory[:nbytes]`."""
        return self.type.map.dense

    def check(self) -> TypedBuffer:
        """`MPI.Exception`: the memory ends before the data does."""
        if self.count and (self.type.map.true_lb < 0 or self.type.map.span(self.count) > len(self.memory)):
            raise ValueException(
                ErrorClass.BUFFER,
                f"the buffer has {len(self.memory)} bytes, and {self.count} elements of {self.type.name or 'this datatype'} "
                f"need {self.type.map.span(self.count)}",
            )
        return self

    def out(self) -> memoryview:
        """The data, to be sent: a copy only if it does not lie in a row."""
        return _view(self.type.map.pack(self.memory, self.count))

    def room(self) -> memoryview:
        """Where the data may be received: in place, or in memory of its own, which `put` then copies from."""
        return _view(self.memory[: self.nbytes] if self.dense else np.empty(self.nbytes, np.uint8))

    def put(self, data: memoryview) -> None:
        """What was received into `room`; it may be shorter."""
        if not self.dense:
            self.type.map.unpack(self.memory, self.count, np.frombuffer(data, np.uint8))

    def array(self) -> NDArray[Any]:
        """The elements as an array (count,) over the same memory if they lie in a row, else over a copy."""
        dtype = self.type.dtype
        if dtype is None:
            raise MPIException(ErrorClass.TYPE, f"elements of {self.type.name or 'a datatype of several kinds'} cannot be reduced")
        return self.type.map.pack(self.memory, self.count).view(dtype)


@dataclass(slots=True)
class Blocks:
    """One block for each rank."""

    memory: Bytes
    counts: list[int]
    displacements: list[int]
    """In bytes."""
    types: list[Type]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int) -> TypedBuffer:
        return TypedBuffer(self.memory[self.displacements[index] :], self.counts[index], self.types[index]).check()


NOTHING = TypedBuffer(np.zeros(0, np.uint8), 0, BYTE_TYPE)


def block(message: Any, *, writable: bool, rank: int = 0, blocks: int = 0) -> TypedBuffer:
    """Reads a buffer argument.

    Args:
        message: the argument.
        writable: it is to be received into.
        rank: PROC_NULL: the argument does not matter.
        blocks: the buffer holds so many of what is meant; 0: just one.
    """
    if rank == PROC_NULL:
        return NOTHING
    thing, count, displacement, datatype = _unpacked(message)
    memory, kind = _basic(thing, datatype, writable)
    held, extent = kind.thing, 0
    start = 0
    if displacement is not None:
        start = _index(displacement)
        if start < 0:
            raise _bad(f"negative displacement {start}")
        if start:
            extent = _extent(kind, "handle displacement")
            if start * extent > len(memory.data):
                raise _bad(f"displacement {start} out of bounds, number of datatype entries {len(memory.data) // extent}")
    rest = memory.data[start * extent :]
    if count is not None:
        count = _index(count)
        if count < 0:
            raise _bad(f"negative count {count}")
        if count and thing is None:
            raise _bad(f"buffer is None but count is {count}")
    else:
        count = _inferred(len(rest), kind, blocks) if len(rest) else 0
    if held is None:
        if count:
            raise MPIException(ErrorClass.TYPE, "the datatype is null")
        return NOTHING
    return TypedBuffer(rest, count, held).check() if blocks < 2 else TypedBuffer(rest, count, held)


def vector(message: Any, *, writable: bool, blocks: int, rank: int = 0) -> Blocks:
    """Reads a buffer argument with counts and displacements for each rank."""
    if rank == PROC_NULL:
        return Blocks(NOTHING.memory, [0] * blocks, [0] * blocks, [BYTE_TYPE] * blocks)
    thing, counts, displacements, datatype = _unpacked(message, vectors=True)
    memory, kind = _basic(thing, datatype, writable)
    if counts is None:
        total = _inferred(len(memory.data), kind, 0) if len(memory.data) else 0
        counts = [total // blocks + (total % blocks > i) for i in range(blocks)]
    elif _is_number(counts):
        counts = [int(counts)] * blocks
    else:
        counts = _integers(counts, blocks)
    if displacements is None:
        displacements = [sum(counts[:i]) for i in range(blocks)]
    elif _is_number(displacements):
        displacements = [int(displacements) * i for i in range(blocks)]
    else:
        displacements = _integers(displacements, blocks)
    if any(one < 0 for one in counts):
        raise MPIException(ErrorClass.COUNT, f"negative counts among {counts}")
    held = kind.thing if kind.thing is not None else BYTE_TYPE
    return Blocks(memory.data, counts, [at * held.map.extent for at in displacements], [held] * blocks)


def vector_w(message: Any, *, writable: bool, blocks: int) -> Blocks:
    """Reads a buffer argument with a datatype for each rank, and displacements in bytes."""
    if not isinstance(message, list | tuple):
        raise TypeException(ErrorClass.ARG, "message: expecting a list or tuple")
    if len(message) == 2:
        thing, types = message
        counts, displacements = [1] * blocks, [0] * blocks
    elif len(message) == 3:
        thing, (counts, displacements), types = message
    elif len(message) == 4:
        thing, counts, displacements, types = message
    else:
        raise _bad("expecting 2 to 4 items")
    if counts is None and displacements is None and thing is not BOTTOM:
        counts, displacements = [1] * blocks, [0] * blocks
    if counts is None or displacements is None:
        raise _bad("counts and displacements are given together")
    memory = memory_of(thing, writable=writable)
    if len(types) != blocks:
        raise _bad(f"expecting {blocks} datatypes, got {len(types)}")
    held = [as_datatype(one).thing or BYTE_TYPE for one in types]
    return Blocks(memory.data, _integers(counts, blocks), _integers(displacements, blocks), held)


def _unpacked(message: Any, *, vectors: bool = False) -> tuple[Any, Any, Any, Any]:
    """(buffer, count, displacement, datatype), None where not given."""
    if is_buffer(message):
        return message, None, None, None
    if not isinstance(message, list | tuple):
        raise TypeException(
            ErrorClass.BUFFER, f"a buffer must be a NumPy array or similar, or a list [data, count, datatype], not {type(message).__name__}"
        )
    pairs = tuple if vectors else (tuple, list)
    count: Any = None
    displacement: Any = None
    datatype: Any = None
    if len(message) == 2:
        thing, count = message
        if isinstance(count, Datatype | str):
            count, datatype = None, count
        elif isinstance(count, pairs):
            count, displacement = count
    elif len(message) == 3:
        thing, count, datatype = message
        if isinstance(count, pairs):
            count, displacement = count
    elif len(message) == 4:
        thing, count, displacement, datatype = message
    else:
        raise _bad("expecting 2 to 4 items")
    if isinstance(thing, list) and thing and isinstance(thing[0], int | float):
        raise TypeException(ErrorClass.BUFFER, "a list of numbers is not a buffer: make it a NumPy array, or use the lower-case call")
    return thing, count, displacement, datatype


def _basic(thing: Any, datatype: Any, writable: bool) -> tuple[Memory, Datatype]:
    memory = memory_of(thing, writable=writable)
    if datatype is not None:
        return memory, as_datatype(datatype)
    if memory.of_nothing:
        return memory, as_datatype(datatype) if thing is not None else BYTE
    if memory.code is not None and memory.code.startswith(">"):
        raise BufferException(ErrorClass.BUFFER, "the elements have a foreign byte order: give a datatype, such as [array, MPI.BYTE]")
    if memory.code is None:
        raise CodeError(ErrorClass.TYPE, "this array's dtype has no MPI datatype: give one, such as [array, MPI.BYTE]")
    return memory, BYTE if memory.code == "B" else as_datatype(memory.code)


def _extent(kind: Datatype, purpose: str) -> int:
    if kind == DATATYPE_NULL:
        raise _bad(f"cannot {purpose}, datatype is null")
    lb, extent = kind.Get_extent()
    if extent <= 0:
        raise _bad(f"cannot {purpose}, datatype extent {extent} (lb:{lb}, ub:{lb + extent})")
    return extent


def _inferred(nbytes: int, kind: Datatype, blocks: int) -> int:
    extent = _extent(kind, "infer count")
    if nbytes % extent:
        raise _bad(f"cannot infer count, buffer length {nbytes} is not a multiple of datatype extent {extent}")
    entries = nbytes // extent
    if blocks < 2:
        return entries
    if entries % blocks:
        raise _bad(f"cannot infer count, number of entries {entries} is not a multiple of required number of blocks {blocks}")
    return entries // blocks


def _is_number(thing: Any) -> bool:
    return isinstance(thing, int | np.integer) or (isinstance(thing, np.ndarray) and thing.ndim == 0)


def _index(number: Any) -> int:
    return operator.index(number)


def _integers(numbers: Any, blocks: int) -> list[int]:
    values: Sequence[Any] = numbers if isinstance(numbers, list | tuple) else list(numbers)
    if len(values) != blocks:
        raise _bad(f"expecting {blocks} items, got {len(values)}")
    return [_index(value) for value in values]


def _bad(text: str) -> ValueException:
    return ValueException(ErrorClass.ARG, f"message: {text}")


def _view(data: Bytes) -> memoryview:
    return data.data if len(data) else memoryview(bytearray())
