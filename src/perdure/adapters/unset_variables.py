"""Variables that a recovery would leave with another meaning are unset at a commit, where that can be done.

Whether the next superstep reads such a variable before it writes it depends on the path that it takes. An unset variable answers: the
superstep writes it first and nothing happens, or it reads it and Python raises `NameError`, `UnboundLocalError` or `AttributeError`, which
`explain` makes the error for the program. So an undisturbed run fails exactly where a recovery would have been wrong.

What can be unset:

1. A global: its name is removed from its module.
2. A local variable of the looping function that was unbound when the loop began, in Python 3.11. Later versions give the variable None
   instead, or nothing at all; there it is refused, unless only an exception or an empty `for` makes a superstep read it first.
3. A variable that a function captured, in the function's cell.
4. An attribute in an object's `__dict__`, if its class has nothing by that name and no `__getattr__`, and the program asks nowhere whether
   an object has an attribute (`hasattr`, `getattr`, `vars`, `__dict__`).
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FrameType, SimpleNamespace
from typing import Any, Final

from perdure.adapters import object_structure

CAN_UNSET_LOCALS: Final = sys.implementation.name == "cpython" and sys.version_info < (3, 12)
_ASKING: Final = frozenset({"hasattr", "getattr", "vars", "__dict__", "__getattribute__"})
_QUOTED: Final = re.compile(r"'([^']+)'")


@dataclass(frozen=True, slots=True)
class _Unset:
    """One variable without its value.

    Attributes:
        holder: the module's names, the object whose attribute it is, the frame, or the cell.
        value: what is put back at the loop's end.
        why: the error that a read before a write means.
    """

    holder: Any
    name: str
    value: Any
    why: str


class Unsetting:
    """The variables that are unset in one entry of `main`."""

    def __init__(self) -> None:
        self._unset: list[_Unset] = []

    def unset_global(self, names: dict[str, Any], name: str, value: Any, why: str) -> None:
        """Remove a global. `value`: what it is again after the loop, unless it is written."""
        del names[name]
        self._note(names, name, value, why)

    def unset_local(self, frame: FrameType, name: str, why: str) -> None:
        """Unset a local variable of a running function, if `CAN_UNSET_LOCALS`, that was unbound when the loop began."""
        assert CAN_UNSET_LOCALS
        local = frame.f_locals
        del local[name]
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(1))
        self._note(frame, name, None, why)

    def unset_captured(self, cell: CellType, name: str, why: str) -> None:
        """Empty the cell of a captured variable."""
        value = cell.cell_contents
        del cell.cell_contents
        self._note(cell, name, value, why)

    def unset_attribute(self, owner: Any, name: str, why: str) -> None:
        """Remove an attribute for which `may_unset_attribute` holds."""
        value = owner.__dict__.pop(name)
        self._note(owner, name, value, why)

    def explain(self, error: BaseException | None) -> str | None:
        """Return what an error of the program means, if it is that of a read of an unset variable."""
        seen = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            for one in self._unset:
                if _is_read_of(error, one):
                    return one.why
            error = error.__cause__ or error.__context__
        return None

    def put_back(self) -> None:
        """Give globals and attributes that are still unset their values: the loop is over, or its ranks begin again."""
        for one in self._unset:
            if isinstance(one.holder, dict):
                one.holder.setdefault(one.name, one.value)
            elif isinstance(one.holder, CellType):
                _put_into(one.holder, one.value)
            elif not isinstance(one.holder, FrameType):
                one.holder.__dict__.setdefault(one.name, one.value)
        self._unset = []

    def _note(self, holder: Any, name: str, value: Any, why: str) -> None:
        self._unset = [one for one in self._unset if not (one.holder is holder and one.name == name)]
        self._unset.append(_Unset(holder, name, value, why))


def _put_into(cell: CellType, value: Any) -> None:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # it is empty still
        cell.cell_contents = value


def _is_read_of(error: BaseException, one: _Unset) -> bool:
    if isinstance(error, AttributeError):
        return error.obj is one.holder and error.name == one.name
    if not isinstance(error, NameError):
        return False
    frame = _frame_of(error)
    if frame is None or one.name not in (error.name, *_QUOTED.findall(str(error))):
        return False
    if isinstance(one.holder, CellType):
        return one.name in frame.f_code.co_freevars + frame.f_code.co_cellvars
    if isinstance(one.holder, FrameType):
        return frame is one.holder or one.name in frame.f_code.co_freevars
    return frame.f_globals is one.holder


def _frame_of(error: BaseException) -> FrameType | None:
    """Return the frame in which an error was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at.tb_frame if at is not None else None


def may_unset_attribute(owner: Any, name: str, codes: Iterable[CodeType]) -> bool:
    """Return whether the program, whose functions are `codes`, would notice by an `AttributeError` that an attribute is missing."""
    cls = type(owner)
    own = vars(owner) if cls is SimpleNamespace else object_structure.namespace(owner)
    if own is None or name not in own or hasattr(cls, name) or hasattr(cls, "__getattr__"):
        return False
    return not any(_ASKING & set(one.co_names) for code in codes for one in all_codes(code))


def all_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of those inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from all_codes(constant)
