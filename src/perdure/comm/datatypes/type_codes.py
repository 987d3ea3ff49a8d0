"""`MPI._typedict`, `_typedict_c` and `_typedict_f`: the datatypes by type code, as programs for mpi4py look them up."""

from __future__ import annotations

from typing import Final

from perdure.comm.datatypes.datatype import Datatype, by_code, named

_C: Final = "? b h i l q B H I L Q f d g F D G b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 c8 f8 c16 f16 c32"
_OTHERS: Final = "e Zf Zd Zg n N p P c a S S1 s 1s U U1 u 1u w 1w M M8 m m8"
_FORTRAN: Final = {
    "l": "LOGICAL", "i": "INTEGER", "r": "REAL", "s": "REAL", "d": "DOUBLE_PRECISION", "c": "COMPLEX", "z": "DOUBLE_COMPLEX",
    "i1": "INTEGER1", "i2": "INTEGER2", "i4": "INTEGER4", "i8": "INTEGER8", "r4": "REAL4", "r8": "REAL8", "r16": "REAL16",
    "c8": "COMPLEX8", "c16": "COMPLEX16", "c32": "COMPLEX32",
}  # fmt: skip

c_types: Final[dict[str, Datatype]] = {code: by_code[code] for code in _C.split()}
"""Codes of NumPy for the types of C."""
all_types: Final[dict[str, Datatype]] = c_types | {code: by_code[code] for code in _OTHERS.split()}
"""Codes of NumPy, `struct` and the buffer protocol."""
fortran_types: Final[dict[str, Datatype]] = {code: named[name] for code, name in _FORTRAN.items()}
"""Codes for the types of Fortran, with their sizes in bytes."""
