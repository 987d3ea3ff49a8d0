"""The calls that make datatypes out of others (MPI 4.1, section 5.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from perdure.comm.datatypes.typemaps import Typemap, combined, scattered
from perdure.comm.definitions.constants import DISTRIBUTE_BLOCK, DISTRIBUTE_CYCLIC, DISTRIBUTE_DFLT_DARG, DISTRIBUTE_NONE, ORDER_C
from perdure.comm.definitions.constants import Combiner as Made
from perdure.comm.definitions.failures import ErrorClass, MPIException, ValueException

F90_REALS = ((6, 37, "f", "F"), (15, 307, "d", "D"), (18, 4931, "g", "G"))
"""Decimal digits, decimal exponent, and the codes of the real and the complex type."""


class Constructors:
    """A part of `Datatype`."""

    if TYPE_CHECKING:

        def held(self) -> Any: ...
        @classmethod
        def fromcode(cls, code: str) -> Any: ...
        def _made(self, one: Typemap, dtype: Any, combiner: Made, params: dict[str, Any], char: str = "") -> Any: ...

    def Create_contiguous(self, count: int) -> Any:
        """`count` elements in a row."""
        return self._blocks(Made.CONTIGUOUS, {"count": count}, [0], [_natural(count)])

    def Create_vector(self, count: int, blocklength: int, stride: int) -> Any:
        """`count` blocks, `stride` elements apart."""
        params = {"count": count, "blocklength": blocklength, "stride": stride}
        step = stride * self.held().map.extent
        return self._blocks(Made.VECTOR, params, [step * i for i in range(_natural(count))], [_natural(blocklength)] * count)

    def Create_hvector(self, count: int, blocklength: int, stride: int) -> Any:
        """`count` blocks, `stride` bytes apart."""
        params = {"count": count, "blocklength": blocklength, "stride": stride}
        return self._blocks(Made.HVECTOR, params, [stride * i for i in range(_natural(count))], [_natural(blocklength)] * count)

    def Create_indexed(self, blocklengths: Sequence[int], displacements: Sequence[int]) -> Any:
        """Blocks of different lengths; displacements in elements."""
        params = {"blocklengths": list(blocklengths), "displacements": list(displacements)}
        extent = self.held().map.extent
        return self._blocks(Made.INDEXED, params, [extent * at for at in displacements], list(blocklengths))

    def Create_hindexed(self, blocklengths: Sequence[int], displacements: Sequence[int]) -> Any:
        """Blocks of different lengths; displacements in bytes."""
        params = {"blocklengths": list(blocklengths), "displacements": list(displacements)}
        return self._blocks(Made.HINDEXED, params, list(displacements), list(blocklengths))

    def Create_indexed_block(self, blocklength: int, displacements: Sequence[int]) -> Any:
        """Blocks of one length; displacements in elements."""
        params = {"blocklength": blocklength, "displacements": list(displacements)}
        extent = self.held().map.extent
        return self._blocks(Made.INDEXED_BLOCK, params, [extent * at for at in displacements], [blocklength] * len(displacements))

    def Create_hindexed_block(self, blocklength: int, displacements: Sequence[int]) -> Any:
        """Blocks of one length; displacements in bytes."""
        params = {"blocklength": blocklength, "displacements": list(displacements)}
        return self._blocks(Made.HINDEXED_BLOCK, params, list(displacements), [blocklength] * len(displacements))

    @classmethod
    def Create_struct(cls, blocklengths: Sequence[int], displacements: Sequence[int], datatypes: Sequence[Constructors]) -> Any:
        """Blocks of different datatypes; displacements in bytes."""
        if not len(blocklengths) == len(displacements) == len(datatypes):
            raise ValueException(ErrorClass.ARG, "a struct needs as many lengths and displacements as datatypes")
        maps = [datatype.held().map for datatype in datatypes]
        dtypes = {datatype.held().dtype for datatype in datatypes}
        params = {
            "blocklengths": list(blocklengths),
            "displacements": list(displacements),
            "datatypes": [own_handle(one) for one in datatypes],
        }
        made = combined(list(zip(displacements, blocklengths, maps, strict=True)))
        return cls()._made(made, dtypes.pop() if len(dtypes) == 1 else None, Made.STRUCT, params)

    def Create_subarray(self, sizes: Sequence[int], subsizes: Sequence[int], starts: Sequence[int], order: int = ORDER_C) -> Any:
        """A block of an array of more dimensions."""
        params = {"sizes": list(sizes), "subsizes": list(subsizes), "starts": list(starts), "order": order}
        if not len(sizes) == len(subsizes) == len(starts):
            raise ValueException(ErrorClass.ARG, "a subarray needs sizes, subsizes and starts of one length")
        if any(start < 0 or part < 1 or start + part > size for size, part, start in zip(sizes, subsizes, starts, strict=True)):
            raise MPIException(ErrorClass.ARG, f"no block of {list(subsizes)} at {list(starts)} lies in an array of {list(sizes)}")
        indices = [range(start, start + part) for start, part in zip(starts, subsizes, strict=True)]
        return self._elements(Made.SUBARRAY, params, sizes, indices, order)

    def Create_darray(
        self, size: int, rank: int, gsizes: Sequence[int], distribs: Sequence[int], dargs: Sequence[int], psizes: Sequence[int],
        order: int = ORDER_C,
    ) -> Any:  # fmt: skip
        """This rank's part of an array that is distributed over a grid of ranks, the last dimension of ranks varying fastest."""
        params = {
            "size": size, "rank": rank, "gsizes": list(gsizes), "distribs": list(distribs), "dargs": list(dargs), "psizes": list(psizes),
            "order": order,
        }  # fmt: skip
        if not len(gsizes) == len(distribs) == len(dargs) == len(psizes):
            raise ValueException(ErrorClass.ARG, "a distributed array needs gsizes, distribs, dargs and psizes of one length")
        coords = [int(coord) for coord in np.unravel_index(rank, psizes)]
        parts = zip(gsizes, distribs, dargs, psizes, coords, strict=True)
        return self._elements(Made.DARRAY, params, gsizes, [_distributed(*part) for part in parts], order)

    def Create_resized(self, lb: int, extent: int) -> Any:
        """The same data with other bounds."""
        old = self.held()
        return self._made(replace(old.map, lb=lb, extent=extent), old.dtype, Made.RESIZED, {"lb": lb, "extent": extent})

    Resized = Create_resized

    # ---- by what they hold ------------------------------------------------------------------------------------------------

    @classmethod
    def Create_f90_integer(cls, r: int) -> Any:
        """Integers of up to `r` decimal digits."""
        for digits, code in ((2, "i1"), (4, "i2"), (9, "i4"), (18, "i8")):
            if r <= digits:
                return cls._f90(code, Made.F90_INTEGER, {"r": r})
        raise MPIException(ErrorClass.ARG, f"there is no integer of {r} decimal digits")

    @classmethod
    def Create_f90_real(cls, p: int, r: int) -> Any:
        """Reals of `p` digits and exponents up to `r`."""
        return cls._f90(_f90_codes(p, r)[0], Made.F90_REAL, {"p": p, "r": r})

    @classmethod
    def Create_f90_complex(cls, p: int, r: int) -> Any:
        """Complex numbers of such reals."""
        return cls._f90(_f90_codes(p, r)[1], Made.F90_COMPLEX, {"p": p, "r": r})

    @classmethod
    def _f90(cls, code: str, combiner: Made, params: dict[str, Any]) -> Any:
        found = cls.fromcode(code).held()
        return cls()._made(found.map, found.dtype, combiner, params, char=found.char)

    # ---- helpers ----------------------------------------------------------------------------------------------------------

    def _blocks(self, combiner: Made, params: dict[str, Any], displacements: Sequence[int], lengths: Sequence[int]) -> Any:
        """Displacements in bytes, lengths in elements."""
        old = self.held()
        if len(displacements) != len(lengths):
            raise ValueException(ErrorClass.ARG, f"{len(lengths)} lengths do not match {len(displacements)} displacements")
        made = combined([(at, _natural(count), old.map) for at, count in zip(displacements, lengths, strict=True)])
        return self._made(made, old.dtype, combiner, params)

    def _elements(self, combiner: Made, params: dict[str, Any], shape: Sequence[int], indices: Sequence[Any], order: int) -> Any:
        """Elements of an array of `shape`, picked in each dimension."""
        old = self.held()
        numbers = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(shape, order="C" if order == ORDER_C else "F")
        picked = numbers[np.ix_(*[np.asarray(index, np.int64) for index in indices])]
        places = picked.reshape(-1, order="C" if order == ORDER_C else "F") * old.map.extent
        return self._made(scattered(places, old.map, numbers.size * old.map.extent), old.dtype, combiner, params)


def _natural(count: int) -> int:
    if count < 0:
        raise MPIException(ErrorClass.COUNT, f"a count must not be negative, as {count} is")
    return count


def own_handle(datatype: Any) -> Any:
    """One of its own, because the program may free the one that it gave. None: it is null."""
    if datatype.thing is None:
        return None
    return datatype if datatype.constant else type(datatype)(datatype)


def _f90_codes(p: int, r: int) -> tuple[str, str]:
    for digits, exponent, real, cplx in F90_REALS:
        if p <= digits and r <= exponent:
            return real, cplx
    raise MPIException(ErrorClass.ARG, f"there is no real of {p} digits and exponents up to {r}")


def _distributed(size: int, how: int, arg: int, ranks: int, coord: int) -> list[int]:
    """The indices of one dimension that belong to place `coord` of `ranks`."""
    if how == DISTRIBUTE_NONE:
        return list(range(size))
    if how == DISTRIBUTE_BLOCK:
        block = -(-size // ranks) if arg == DISTRIBUTE_DFLT_DARG else arg
        return list(range(min(size, block * coord), min(size, block * (coord + 1))))
    if how == DISTRIBUTE_CYCLIC:
        block = 1 if arg == DISTRIBUTE_DFLT_DARG else arg
        return [index for index in range(size) if index // block % ranks == coord]
    raise MPIException(ErrorClass.ARG, f"there is no distribution {how}")
