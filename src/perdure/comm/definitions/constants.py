"""The numbers of the MPI standard that programs name. Their values are ours; only the names are shared with other implementations."""

from __future__ import annotations

import enum
from typing import Final

UNDEFINED: Final = -32766
ANY_SOURCE: Final = -1
ANY_TAG: Final = -1
PROC_NULL: Final = -2
ROOT: Final = -3
KEYVAL_INVALID: Final = 0
TAG_UB_VALUE: Final = 2**31 - 1
"""The largest tag."""

IDENT, CONGRUENT, SIMILAR, UNEQUAL = 0, 1, 2, 3
CART, GRAPH, DIST_GRAPH = 1, 2, 3
COMM_TYPE_SHARED, COMM_TYPE_HW_GUIDED, COMM_TYPE_HW_UNGUIDED, COMM_TYPE_RESOURCE_GUIDED = 1, 2, 3, 4
THREAD_SINGLE, THREAD_FUNNELED, THREAD_SERIALIZED, THREAD_MULTIPLE = 0, 1, 2, 3
ORDER_C, ORDER_FORTRAN = 0, 1
ORDER_F = ORDER_FORTRAN
TYPECLASS_REAL, TYPECLASS_INTEGER, TYPECLASS_COMPLEX, TYPECLASS_LOGICAL = 1, 2, 3, 4
DISTRIBUTE_NONE, DISTRIBUTE_BLOCK, DISTRIBUTE_CYCLIC, DISTRIBUTE_DFLT_DARG = 0, 1, 2, -1
BSEND_OVERHEAD: Final = 128
VERSION, SUBVERSION = 4, 1
MAX_PROCESSOR_NAME: Final = 256
MAX_ERROR_STRING: Final = 512
MAX_PORT_NAME: Final = 1024
MAX_INFO_KEY: Final = 255
MAX_INFO_VAL: Final = 1024
MAX_OBJECT_NAME: Final = 128
MAX_DATAREP_STRING: Final = 128
MAX_LIBRARY_VERSION_STRING: Final = 8192
MAX_STRINGTAG_LEN: Final = 256
TAG_UB, HOST, IO, WTIME_IS_GLOBAL, UNIVERSE_SIZE, APPNUM, LASTUSEDCODE = 1, 2, 3, 4, 5, 6, 7
"""Keys of the attributes that every COMM_WORLD has."""


class Combiner(enum.IntEnum):
    """How a datatype was made."""

    NAMED = 1
    DUP = 2
    CONTIGUOUS = 3
    VECTOR = 4
    HVECTOR = 5
    INDEXED = 6
    HINDEXED = 7
    INDEXED_BLOCK = 8
    HINDEXED_BLOCK = 9
    STRUCT = 10
    SUBARRAY = 11
    DARRAY = 12
    RESIZED = 13
    VALUE_INDEX = 14
    F90_INTEGER = 15
    F90_REAL = 16
    F90_COMPLEX = 17


class Marker(int):
    """A constant that stands for a place in memory, or for weights, and is recognised by identity."""

    name: str

    def __new__(cls, value: int, name: str) -> Marker:
        marker = super().__new__(cls, value)
        marker.name = name
        return marker

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name

    def __bool__(self) -> bool:
        return self.name not in ("BOTTOM", "BUFFER_AUTOMATIC")


class BottomType(Marker):
    """The class of `BOTTOM`."""


class InPlaceType(Marker):
    """The class of `IN_PLACE`."""


class BufferAutomaticType(Marker):
    """The class of `BUFFER_AUTOMATIC`."""


BOTTOM: Final = BottomType(0, "BOTTOM")
IN_PLACE: Final = InPlaceType(-1, "IN_PLACE")
BUFFER_AUTOMATIC: Final = BufferAutomaticType(-2, "BUFFER_AUTOMATIC")
UNWEIGHTED: Final = Marker(-10, "UNWEIGHTED")
WEIGHTS_EMPTY: Final = Marker(-11, "WEIGHTS_EMPTY")
