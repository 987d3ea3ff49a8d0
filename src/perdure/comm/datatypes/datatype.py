"""`MPI.Datatype`: what a buffer's elements are, and which bytes of it (MPI 4.1, chapter 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from perdure.comm.datatypes.constructors import Constructors, own_handle
from perdure.comm.datatypes.packing import Packing
from perdure.comm.datatypes.typemaps import Typemap, plain
from perdure.comm.definitions import constants as c
from perdure.comm.definitions.attributes import Attributed, Attributes, Keyvals
from perdure.comm.definitions.constants import Combiner
from perdure.comm.definitions.failures import ErrorClass, MPIException, ValueException
from perdure.comm.definitions.handles import Handle


@dataclass(slots=True, eq=False, weakref_slot=True)
class Type:
    """A datatype. `dtype` is NumPy's for it, if all its elements are of one kind; `char` is NumPy's or struct's code, if there is one."""

    name: str
    map: Typemap
    dtype: np.dtype[Any] | None
    char: str = ""
    combiner: Combiner = Combiner.NAMED
    params: Mapping[str, Any] = field(default_factory=dict)
    base: Datatype | None = None
    constant: Datatype | None = None
    attributes: Attributes = field(default_factory=Attributes)


class Datatype(Constructors, Packing, Attributed, Handle[Type]):
    """A datatype, as mpi4py has it. The `Create_…` calls are in `constructors`."""

    null_class = ErrorClass.TYPE
    __module__ = "perdure.MPI"
    keyvals: ClassVar[Keyvals] = Keyvals()

    def __reduce__(self) -> Any:
        if self.thing is not None and self.thing.combiner is not Combiner.NAMED and not self.constant and not self.thing.constant:
            base, name, params = self.decode()
            return _recreated, (base, name, params)
        return super().__reduce__()

    def Get_size(self) -> int:
        """Bytes of data in one element."""
        size: int = self.held().map.size
        return size

    def Get_extent(self) -> tuple[int, int]:
        """(lower bound, extent): consecutive elements lie an extent apart."""
        one = self.held().map
        return one.lb, one.extent

    def Get_true_extent(self) -> tuple[int, int]:
        """(first byte of data, bytes to the end of the last)."""
        one = self.held().map
        return one.true_lb, one.true_extent

    def Commit(self) -> Datatype:
        """Nothing to be done: datatypes are ready when made."""
        self.held()
        return self

    def Dup(self) -> Any:
        """Another datatype that is the same."""
        old = self.held()
        copy = self._made(old.map, old.dtype, Combiner.DUP, {}, char=old.char)
        self.keyvals.copy(self, old.attributes, copy.held().attributes)
        return copy

    Create_dup = Dup

    def Free(self) -> None:
        """Gives it up. Predefined datatypes stay."""
        one = self.held()
        if one.combiner in (Combiner.NAMED, Combiner.F90_INTEGER, Combiner.F90_REAL, Combiner.F90_COMPLEX):
            raise MPIException(ErrorClass.TYPE, f"{one.name} is predefined and cannot be freed")
        self.keyvals.delete_all(self, one.attributes)
        super().Free()

    def free(self) -> None:
        """`Free`, unless it is null or predefined."""
        if self.is_predefined:
            self.thing = self.thing if self.constant else None
        else:
            self.Free()

    # ---- how it was made ----------------------------------------------------------------------------------------------------

    def Get_envelope(self) -> tuple[int, int, int, int, int]:
        """(integers, addresses, large counts, datatypes) that it was made with, and the combiner."""
        integers, addresses, datatypes = self._contents()
        return len(integers), len(addresses), 0, len(datatypes), int(self.held().combiner)

    def Get_contents(self) -> tuple[list[int], list[int], list[int], list[Datatype]]:
        """What it was made with."""
        if self.held().combiner is Combiner.NAMED:
            raise MPIException(ErrorClass.TYPE, f"{self.held().name} is predefined, so it has no contents")
        integers, addresses, datatypes = self._contents()
        return integers, addresses, [], [Datatype(one) for one in datatypes]

    def _contents(self) -> tuple[list[int], list[int], list[Datatype]]:
        one = self.held()
        integers: list[int] = []
        addresses: list[int] = []
        datatypes = [one.base] if one.base is not None else []
        in_bytes = one.combiner in (
            Combiner.HVECTOR, Combiner.HINDEXED, Combiner.HINDEXED_BLOCK, Combiner.STRUCT, Combiner.RESIZED,
        )  # fmt: skip
        for name, value in one.params.items():
            if name in ("datatypes", "value", "index"):
                datatypes += value if isinstance(value, list) else [value]
                continue
            target = addresses if in_bytes and name in ("stride", "displacements", "lb", "extent") else integers
            if isinstance(value, list):
                if target is integers and not integers:
                    integers.append(len(value))
                target += value
            else:
                target.append(value)
        return integers, addresses, datatypes

    def decode(self) -> tuple[Datatype, str, dict[str, Any]]:
        """(the datatype it was made from, the name of the combiner, its arguments)."""
        one = self.held()
        if one.combiner is Combiner.NAMED:
            return self, "NAMED", {}
        params = {
            name: [Datatype(part) for part in value] if name == "datatypes" else value for name, value in one.params.items()
        }  # fmt: skip
        return Datatype(one.base), one.combiner.name, params

    @property
    def envelope(self) -> tuple[int, int, int, int, int]:
        return self.Get_envelope()

    @property
    def contents(self) -> tuple[list[int], list[int], list[int], list[Datatype]]:
        return self.Get_contents()

    @property
    def combiner(self) -> int:
        return int(self.held().combiner)

    @property
    def is_named(self) -> bool:
        return self.thing is None or self.thing.combiner is Combiner.NAMED

    @property
    def is_predefined(self) -> bool:
        if self.thing is None:
            return True
        return self.thing.combiner in (Combiner.NAMED, Combiner.F90_INTEGER, Combiner.F90_REAL, Combiner.F90_COMPLEX)

    # ---- names and codes ----------------------------------------------------------------------------------------------------

    def Get_name(self) -> str:
        """Its name."""
        return "MPI_DATATYPE_NULL" if self.thing is None else self.thing.name

    def Set_name(self, name: str) -> None:
        """Gives it a name."""
        self.held().name = name

    name = property(Get_name, Set_name)

    def tocode(self) -> str:
        """NumPy's type code. ValueError: there is none."""
        if self.thing is None or not self.thing.char:
            raise ValueException(ErrorClass.TYPE, f"{self.Get_name()} has no type code")
        return self.thing.char

    @classmethod
    def fromcode(cls, code: str) -> Datatype:
        """The datatype of a type code of NumPy or `struct`."""
        found = by_code.get(code) or by_code.get(code.removeprefix("=").removeprefix("@").removeprefix("<").removeprefix("|"))
        if found is None:
            raise ValueException(ErrorClass.TYPE, f"there is no datatype for {code!r}")
        return found

    @classmethod
    def Get_value_index(cls, value: Datatype, index: Datatype) -> Any:
        """The pair of a value and its place, for MINLOC and MAXLOC; DATATYPE_NULL: there is none."""
        if value.held().char and index == named["INT"]:
            for name, code in _PAIRS.items():
                if value.held().char == code:
                    return named[name]
        index.held()
        return DATATYPE_NULL

    @classmethod
    def Match_size(cls, typeclass: int, size: int) -> Any:
        """The Fortran datatype of a class and a size in bytes."""
        names = {c.TYPECLASS_REAL: "REAL", c.TYPECLASS_INTEGER: "INTEGER", c.TYPECLASS_COMPLEX: "COMPLEX", c.TYPECLASS_LOGICAL: "LOGICAL"}
        found = named.get(f"{names.get(typeclass)}{size}")
        if found is None:
            raise MPIException(ErrorClass.ARG, f"there is no datatype of class {typeclass} with {size} bytes")
        return found

    @property
    def typechar(self) -> str:
        return self.thing.char if self.thing is not None and self.thing.char else "V"

    @property
    def typestr(self) -> str:
        one = self.thing
        if one is None or one.dtype is None or not one.char:
            return f"V{0 if one is None else one.map.extent}"
        return one.dtype.str.lstrip("<>|=") if one.dtype.kind != "S" else "S1"

    size = property(Get_size)
    extent = property(lambda self: self.Get_extent()[1])
    lb = property(lambda self: self.Get_extent()[0])
    ub = property(lambda self: sum(self.Get_extent()))
    true_extent = property(lambda self: self.Get_true_extent()[1])
    true_lb = property(lambda self: self.Get_true_extent()[0])
    true_ub = property(lambda self: sum(self.Get_true_extent()))

    def _made(self, one: Typemap, dtype: Any, combiner: Combiner, params: dict[str, Any], char: str = "") -> Any:
        return type(self).of(Type("", one, dtype, char, combiner, params, base=own_handle(self)))


def _recreated(base: Datatype, combiner: str, params: dict[str, Any]) -> Datatype:
    """Unpickles a datatype by making it again."""
    prefix = "Get_" if combiner == "VALUE_INDEX" else "Create_"
    made: Datatype = getattr(base, prefix + combiner.lower())(**params)
    return made


by_code: Final[dict[str, Datatype]] = {}
"""Type code -> datatype."""
named: Final[dict[str, Datatype]] = {}
"""Name in `perdure.MPI` -> predefined datatype."""

_PREDEFINED: Final = {
    "PACKED": "B", "BYTE": "B", "AINT": "p", "OFFSET": "p", "COUNT": "p", "CHAR": "c", "WCHAR": "U", "SIGNED_CHAR": "b",
    "SHORT": "h", "INT": "i", "LONG": "l", "LONG_LONG": "q", "UNSIGNED_CHAR": "B", "UNSIGNED_SHORT": "H", "UNSIGNED": "I",
    "UNSIGNED_LONG": "L", "UNSIGNED_LONG_LONG": "Q", "FLOAT": "f", "DOUBLE": "d", "LONG_DOUBLE": "g", "C_BOOL": "?",
    "INT8_T": "i1", "INT16_T": "i2", "INT32_T": "i4", "INT64_T": "i8", "UINT8_T": "u1", "UINT16_T": "u2", "UINT32_T": "u4",
    "UINT64_T": "u8", "FLOAT16_T": "f2", "FLOAT32_T": "f4", "FLOAT64_T": "f8", "C_FLOAT_COMPLEX": "F", "C_DOUBLE_COMPLEX": "D",
    "C_LONG_DOUBLE_COMPLEX": "G", "CXX_BOOL": "?", "CXX_FLOAT_COMPLEX": "F", "CXX_DOUBLE_COMPLEX": "D",
    "CXX_LONG_DOUBLE_COMPLEX": "G", "CHARACTER": "c", "LOGICAL": "i", "INTEGER": "i", "REAL": "f", "DOUBLE_PRECISION": "d",
    "COMPLEX": "F", "DOUBLE_COMPLEX": "D", "LOGICAL1": "i1", "LOGICAL2": "i2", "LOGICAL4": "i4", "LOGICAL8": "i8",
    "INTEGER1": "i1", "INTEGER2": "i2", "INTEGER4": "i4", "INTEGER8": "i8", "REAL2": "f2", "REAL4": "f4", "REAL8": "f8",
    "REAL16": "f16", "COMPLEX8": "c8", "COMPLEX16": "c16", "COMPLEX32": "G",
}  # fmt: skip
_PAIRS: Final = {"SHORT_INT": "h", "INT_INT": "i", "LONG_INT": "l", "FLOAT_INT": "f", "DOUBLE_INT": "d", "LONG_DOUBLE_INT": "g"}
SYNONYMS: Final = {
    "C_COMPLEX": "C_FLOAT_COMPLEX", "TWOINT": "INT_INT", "UNSIGNED_INT": "UNSIGNED", "SIGNED_SHORT": "SHORT", "SIGNED_INT": "INT",
    "SIGNED_LONG": "LONG", "SIGNED_LONG_LONG": "LONG_LONG", "BOOL": "C_BOOL", "SINT8_T": "INT8_T", "SINT16_T": "INT16_T",
    "SINT32_T": "INT32_T", "SINT64_T": "INT64_T", "F_BOOL": "LOGICAL", "F_INT": "INTEGER", "F_FLOAT": "REAL",
    "F_DOUBLE": "DOUBLE_PRECISION", "F_COMPLEX": "COMPLEX", "F_FLOAT_COMPLEX": "COMPLEX", "F_DOUBLE_COMPLEX": "DOUBLE_COMPLEX",
}  # fmt: skip
NULLS: Final = ("BFLOAT16_T", "LOGICAL16", "INTEGER16", "COMPLEX4")
"""What this machine's NumPy has no type for."""


def _numpy(char: str) -> np.dtype[Any]:
    return np.dtype({"c": "S1", "U": "U1"}.get(char, char))


def _predefine(name: str, dtype: np.dtype[Any], char: str) -> None:
    code = dtype.char if dtype.kind in "biufc" and char != "p" else char
    handle: Datatype = Datatype.of(Type(f"MPI_{name}", plain(dtype.itemsize), dtype, code))
    handle.constant = name
    handle.held().constant = handle
    named[name] = handle


def _define_all() -> None:
    for name, char in _PREDEFINED.items():
        _predefine(name, _numpy(char), char)
        dtype = _numpy(char)
        for code in (char, dtype.char, dtype.str.lstrip("<>|=")):
            by_code.setdefault(code, named[name])
    for name, char in _PAIRS.items():
        _predefine(name, np.dtype([("value", char), ("index", "i")], align=True), "")
    preferred = {"b": "SIGNED_CHAR", "B": "UNSIGNED_CHAR", "i8": "INT64_T", "l": "LONG", "q": "LONG_LONG", "p": "AINT", "c": "CHAR"}
    by_code.update({code: named[name] for code, name in preferred.items()})
    by_code.update({"Zf": named["C_FLOAT_COMPLEX"], "Zd": named["C_DOUBLE_COMPLEX"], "Zg": named["C_LONG_DOUBLE_COMPLEX"]})
    by_code.update({"n": named["COUNT"], "N": named["UNSIGNED_LONG"], "P": named["AINT"], "u": named["WCHAR"], "w": named["WCHAR"]})
    by_code.update({code: named["CHAR"] for code in ("a", "S", "s", "1s")} | {"1u": named["WCHAR"], "1w": named["WCHAR"]})
    by_code.update({code: named["INT64_T"] for code in ("M", "M8", "m", "m8")})
    by_code.update({"S1": named["CHAR"], "U1": named["WCHAR"], "b1": named["C_BOOL"], "e": named["FLOAT16_T"]})
    for synonym, name in SYNONYMS.items():
        named[synonym] = named[name]


DATATYPE_NULL: Final[Datatype] = Datatype()
DATATYPE_NULL.constant = "DATATYPE_NULL"
_define_all()
BYTE: Final = named["BYTE"]
