"""`mpi4py.util.dtlib`: NumPy's dtypes as datatypes of MPI, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from perdure.comm.datatypes.datatype import DATATYPE_NULL, Datatype, Type
from perdure.comm.definitions.constants import ORDER_FORTRAN, Combiner

_Field = tuple[Any, int]
"""(dtype, offset in bytes)."""


def from_numpy_dtype(dtype: Any) -> Datatype:
    """Return a new datatype for the elements of a dtype. ValueError: it has objects, or another byte order."""
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise ValueError(f"{kind}: Python objects have no MPI datatype")
    if not kind.isnative:
        raise ValueError(f"{kind}: a foreign byte order has no MPI datatype")
    if kind.subdtype is not None:
        base, shape = kind.subdtype
        one = from_numpy_dtype(base)
        return one.Create_contiguous(shape[0]) if len(shape) == 1 else one.Create_subarray(shape, shape, [0] * len(shape))  # type: ignore[no-any-return]
    if kind.fields is None:
        return Datatype.fromcode(kind.char).Dup()  # type: ignore[no-any-return]
    fields = [kind.fields[name] for name in kind.names or ()]
    parts = Datatype.Create_struct([1] * len(fields), [field[1] for field in fields], [from_numpy_dtype(field[0]) for field in fields])
    return parts.Create_resized(0, kind.itemsize)  # type: ignore[no-any-return]


def to_numpy_dtype(datatype: Datatype) -> np.dtype[Any]:
    """Return the dtype of a datatype's elements. ValueError: NumPy has none."""
    if datatype == DATATYPE_NULL:
        raise ValueError("the null datatype has no dtype")
    combiner = datatype.held().combiner
    if combiner is Combiner.NAMED:
        return _of_named(datatype)
    base, _, params = datatype.decode()
    if combiner is Combiner.DUP:
        return to_numpy_dtype(base)
    if combiner is Combiner.CONTIGUOUS:
        return np.dtype((to_numpy_dtype(base), (params["count"],)))
    if combiner is Combiner.SUBARRAY:
        return _of_subarray(base, params)
    if combiner is Combiner.VALUE_INDEX:
        return np.dtype([(f"f{at}", to_numpy_dtype(params[name])) for at, name in enumerate(("value", "index"))], align=True)
    if combiner in (Combiner.F90_INTEGER, Combiner.F90_REAL, Combiner.F90_COMPLEX):
        char: str = datatype.held().char
        return np.dtype(char)
    if combiner is Combiner.RESIZED and base.held().combiner is Combiner.STRUCT:
        combiner, params = Combiner.STRUCT, base.decode()[2]
    fields = list(_fields(combiner, base, params))
    spec = {
        "names": [f"f{at}" for at in range(len(fields))],
        "formats": [kind for kind, _ in fields],
        "offsets": [offset for _, offset in fields],
        "itemsize": datatype.lb + datatype.extent,
    }
    return np.dtype(spec)  # type: ignore[call-overload,no-any-return]


def _of_named(datatype: Datatype) -> np.dtype[Any]:
    one: Type = datatype.held()
    if one.dtype is not None and one.dtype.names:
        return np.dtype([(f"f{at}", one.dtype[at]) for at in range(len(one.dtype.names))], align=True)
    if one.dtype is not None:
        return one.dtype
    if one.char:
        return np.dtype(one.char)
    raise ValueError(f"{one.name} has no dtype")


def _of_subarray(base: Datatype, params: Any) -> np.dtype[Any]:
    if params["subsizes"] != params["sizes"] or any(params["starts"]):
        raise ValueError("a part of an array has no dtype")
    sizes = params["sizes"][::-1] if params["order"] == ORDER_FORTRAN else params["sizes"]
    return np.dtype((to_numpy_dtype(base), tuple(sizes)))


def _fields(combiner: Combiner, base: Datatype, params: Any) -> Iterator[_Field]:
    """The blocks of a datatype, as fields of a structure."""
    if combiner is Combiner.STRUCT:
        for kind, length, offset in zip(params["datatypes"], params["blocklengths"], params["displacements"], strict=True):
            one = to_numpy_dtype(kind)
            yield one if length == 1 else (one, (length,)), offset
        return
    if combiner not in _SCATTERED:
        raise ValueError(f"a datatype made by {combiner.name} has no dtype")
    kind = to_numpy_dtype(base)
    unit = 1 if combiner.name.startswith("H") else base.extent
    if combiner in (Combiner.VECTOR, Combiner.HVECTOR):
        places = [at * params["stride"] for at in range(params["count"])]
    else:
        places = params["displacements"]
    lengths = params.get("blocklengths") or [params["blocklength"]] * len(places)
    for length, place in zip(lengths, places, strict=True):
        yield (kind, (length,)), place * unit


_SCATTERED = (
    Combiner.VECTOR, Combiner.HVECTOR, Combiner.INDEXED, Combiner.HINDEXED, Combiner.INDEXED_BLOCK, Combiner.HINDEXED_BLOCK,
)  # fmt: skip
