"""Reduction operations. Each combines two operands, the one of the lower ranks first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from perdure.comm.datatypes.buffers import TypedBuffer, block
from perdure.comm.datatypes.datatype import Datatype, Type
from perdure.comm.datatypes.raw_buffers import buffer
from perdure.comm.definitions.failures import ErrorClass, MPIException, ValueException
from perdure.comm.definitions.handles import Handle

if TYPE_CHECKING:
    from perdure.comm.messaging.engine import MessageEngine

Array = NDArray[Any]
MAX_USER_OPS: Final = 32
"""As mpi4py has it; a program that makes more has forgotten to free them."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class ReduceOperation:
    """`into(lower, higher, out)` combines arrays (n,) of one dtype, `out` may be either; `pair` combines two objects."""

    name: str
    into: Callable[[Array, Array, Array], Any] | None
    pair: Callable[[Any, Any], Any]
    kinds: str = "biufc"
    """NumPy's kinds of dtype that it takes; V: pairs of a value and an index."""
    commutative: bool = True
    function: Callable[..., Any] | None = None
    constant: Op | None = None


class Op(Handle[ReduceOperation]):
    """An operation, as mpi4py has it."""

    null_class = ErrorClass.OP
    __module__ = "perdure.MPI"
    _user_ops = 0

    @classmethod
    def Create(cls, function: Callable[..., Any], commute: bool = False) -> Any:
        """An operation of the program's own: `function(in, inout, datatype)` combines `in`, of the lower ranks, into `inout`."""
        if Op._user_ops >= MAX_USER_OPS:
            raise MPIException(ErrorClass.OP, f"cannot create more than {MAX_USER_OPS} user-defined operations: free some")
        Op._user_ops += 1
        return cls.of(ReduceOperation("user", None, lambda lower, higher: function(lower, higher, None), "", bool(commute), function))

    def Free(self) -> None:
        """Gives up an operation of the program's own."""
        user = self.thing is not None and self.thing.function is not None
        super().Free()
        Op._user_ops -= user

    def __call__(self, x: Any, y: Any) -> Any:
        """Combines two objects: arrays element by element, numbers as such."""
        if self.thing is None:
            raise ValueException(ErrorClass.OP, "the operation is null")
        one = self.thing
        if one.into is not None and (isinstance(x, np.ndarray) or isinstance(y, np.ndarray)) and one.kinds != "V":
            lower, higher = np.broadcast_arrays(x, y)
            result = np.empty_like(lower, np.result_type(lower, higher))
            one.into(lower, higher, result)
            return result
        return one.pair(x, y)

    def __reduce__(self) -> Any:
        if self.thing is not None and self.thing.function is not None:
            if self.thing.name == "handle":
                raise ValueException(ErrorClass.OP, "this operation cannot be pickled")
            return type(self).Create, (self.thing.function, self.thing.commutative)
        return super().__reduce__()

    def Is_commutative(self) -> bool:
        """May the operands change places?"""
        return self.held().commutative

    @property
    def is_commutative(self) -> bool:
        return self.Is_commutative()

    @property
    def is_predefined(self) -> bool:
        return self.thing is None or self.thing.function is None

    def Reduce_local(self, inbuf: Any, inoutbuf: Any) -> None:
        """inout = in (op) inout, element by element, in this process."""
        left, right = block(inbuf, writable=False), block(inoutbuf, writable=True)
        if left.type is not right.type:
            raise ValueException(ErrorClass.TYPE, "mismatch in inbuf and inoutbuf MPI datatypes")
        if left.count != right.count:
            raise ValueException(ErrorClass.COUNT, f"mismatch in inbuf count {left.count} and inoutbuf count {right.count}")
        combine = combiner(self, left)
        out = right.array()
        combine(left.array(), out, out)
        right.put(out.view(np.uint8).data)


def combiner(op: Op, like: TypedBuffer, engine: MessageEngine | None = None) -> Callable[[Array, Array, Array], Any]:
    """What combines arrays (n,) of the elements of `like`, inside of a call that `engine` serves. `MPI.Exception`: the operation does not
    take them."""
    if not isinstance(op, Op):
        raise TypeError(f"expected an MPI.Op, not {type(op).__name__}")
    one = op.held()
    if one.function is not None:
        return _calling(one.function, like.type, engine.outside if engine is not None else nullcontext)
    dtype = like.type.dtype
    if dtype is None or one.into is None or dtype.kind not in one.kinds:
        raise MPIException(ErrorClass.OP, f"{one.name} does not take elements of {like.type.name or 'this datatype'}")
    return one.into


def _calling(
    function: Callable[..., Any], kind: Type, outside: Callable[[], AbstractContextManager[None]]
) -> Callable[[Array, Array, Array], Any]:
    datatype = kind.constant or Datatype.of(kind)

    def combine(lower: Array, higher: Array, out: Array) -> None:
        result = out if out is higher else higher.copy()
        with outside():
            function(buffer(lower.view(np.uint8).data), buffer(result.view(np.uint8).data), datatype)
        if result is not out:
            out[...] = result

    return combine


def _ufunc(function: Any) -> Callable[[Array, Array, Array], Any]:
    return lambda lower, higher, out: function(lower, higher, out=out)


def _logical(function: Any) -> Callable[[Array, Array, Array], Any]:
    return lambda lower, higher, out: function(lower != 0, higher != 0, out=out, casting="unsafe")


def _located(better: Any) -> Callable[[Array, Array, Array], Any]:
    """MINLOC and MAXLOC: of equal values the lower index."""

    def combine(lower: Array, higher: Array, out: Array) -> None:
        first = better(lower["value"], higher["value"])
        equal = lower["value"] == higher["value"]
        out[...] = np.where(first | (equal & (lower["index"] <= higher["index"])), lower, higher)

    return combine


def _located_pair(better: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def combine(x: Any, y: Any) -> Any:
        (one, i), (other, j) = x, y
        if one == other:
            return (one, i) if i <= j else (other, j)
        return (one, i) if better(one, other) else (other, j)

    return combine


def _defined(name: str, into: Any, pair: Callable[[Any, Any], Any], kinds: str, commutative: bool = True) -> Op:
    op: Op = Op.of(ReduceOperation(name, into, pair, kinds, commutative))
    op.constant = name
    op.held().constant = op
    return op


_NUMBERS: Final = "biufc"
_INTEGERS: Final = "biu"
SUM: Final = _defined("SUM", _ufunc(np.add), lambda x, y: x + y, _NUMBERS)
PROD: Final = _defined("PROD", _ufunc(np.multiply), lambda x, y: x * y, _NUMBERS)
MIN: Final = _defined("MIN", _ufunc(np.minimum), lambda x, y: y if y < x else x, "biuf")
MAX: Final = _defined("MAX", _ufunc(np.maximum), lambda x, y: y if y > x else x, "biuf")
LAND: Final = _defined("LAND", _logical(np.logical_and), lambda x, y: bool(x) & bool(y), "biuf")
LOR: Final = _defined("LOR", _logical(np.logical_or), lambda x, y: bool(x) | bool(y), "biuf")
LXOR: Final = _defined("LXOR", _logical(np.logical_xor), lambda x, y: bool(x) ^ bool(y), "biuf")
BAND: Final = _defined("BAND", _ufunc(np.bitwise_and), lambda x, y: x & y, _INTEGERS)
BOR: Final = _defined("BOR", _ufunc(np.bitwise_or), lambda x, y: x | y, _INTEGERS)
BXOR: Final = _defined("BXOR", _ufunc(np.bitwise_xor), lambda x, y: x ^ y, _INTEGERS)
MINLOC: Final = _defined("MINLOC", _located(np.less), _located_pair(lambda x, y: x < y), "V")
MAXLOC: Final = _defined("MAXLOC", _located(np.greater), _located_pair(lambda x, y: x > y), "V")
REPLACE: Final = _defined("REPLACE", lambda lower, higher, out: np.copyto(out, higher), lambda x, y: y, "biufcV", False)
NO_OP: Final = _defined("NO_OP", lambda lower, higher, out: np.copyto(out, lower), lambda x, y: x, "biufcV", False)
OP_NULL: Final[Op] = Op()
OP_NULL.constant = "OP_NULL"
