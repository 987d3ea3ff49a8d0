"""Liveness of variables (Aho et al., Compilers, 9.2.5): is a variable read before it is written again? One variable at a time.

It is asked of a loop that stands between two supersteps: what a superstep writes before it reads it, a recovery need not bring back.

The instructions are those of CPython 3.11, 3.12 and 3.13, whose bytecode the tests have been run with. An instruction with a name that is
not known here counts as one that does not touch the variable if it has another argument, and as one that reads it if it names it.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Final

from perdure.adapters.unset_variables import all_codes

_ENDS: Final = frozenset(
    {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
)
"""Instructions that the next one does not follow."""
_CAPTURES: Final = ("LOAD_CLOSURE", "LOAD_FAST", "LOAD")
"""The instructions that take the cell of a variable; since Python 3.13 they are those of local variables."""
_WRITES: Final = ("STORE", "DELETE")
_OTHER_NAMES: Final = ("_ATTR", "_METHOD", "_CONST", "_SUBSCR", "_SUPER_ATTR", "IMPORT_NAME", "IMPORT_FROM")
"""Instructions whose argument is no variable, though it may have the name of one."""


class _Flow:
    """The paths through the instructions of a function."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.instructions = [one for one in dis.get_instructions(code) if one.opname != "CACHE"]
        self.places = {one.offset: number for number, one in enumerate(self.instructions)}
        self._handlers = [(one.start, one.end, one.target) for one in getattr(dis.Bytecode(code), "exception_entries", ())]

    def place(self, offset: int) -> int:
        """Return the number of the instruction at an offset, or of the one before it; -1 if there is none."""
        return max((number for at, number in self.places.items() if at <= offset), default=-1)

    def after(self, number: int, *, is_ordinary: bool) -> Iterable[int]:
        """Return the instructions that may follow one. `is_ordinary`: nothing is raised, and no `for` is over before it began."""
        one = self.instructions[number]
        if one.opname == "FOR_ITER" and is_ordinary:
            return [number + 1]
        found = [] if is_ordinary else [self.places[target] for start, end, target in self._handlers if start <= one.offset < end]
        if one.opname not in _ENDS:
            found.append(number + 1)
        if one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
            target = self.places[one.argval]
            is_again = is_ordinary and target < number and self.instructions[target].opname == "FOR_ITER"
            found.append(self.places[self.instructions[target].argval] if is_again else target)
        return found

    def reads_first(self, start: int, name: str, *, is_ordinary: bool = False) -> bool:
        """Return whether a path from an instruction on, or one that `is_ordinary`, reads a variable before it writes it."""
        reached = self._reached(start, name, bool, is_ordinary=is_ordinary)
        return any(accesses and not accesses[0].startswith(_WRITES) for _, accesses in reached)

    def keeps(self, start: int, end: int, name: str) -> bool:
        """Return whether an ordinary path from one instruction to another leaves a variable as it is."""
        return any(number == end for number, _ in self._reached(start, name, _has_a_write, is_ordinary=True))

    def _reached(
        self, start: int, name: str, is_last: Callable[[list[str]], bool], *, is_ordinary: bool
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield the instructions on the paths from one on, with what each does with a variable. A path goes on until that `is_last`."""
        todo, seen = [start], set[int]()
        while todo:
            number = todo.pop()
            if number in seen or number >= len(self.instructions):
                continue
            seen.add(number)
            last, accesses = number, _accesses(self.instructions[number], name)
            if accesses[:1] == ["LOAD_FAST_AND_CLEAR"]:
                last = self._end_of_comprehension(number, name)
                accesses = _accesses(self.instructions[last], name)[1:]
            yield number, accesses
            if not is_last(accesses):
                todo += self.after(last, is_ordinary=is_ordinary)

    def _end_of_comprehension(self, number: int, name: str) -> int:
        """Return the instruction that gives a variable back its value, which a comprehension with a variable of that name has put away."""
        loop = next(at for at in range(number, len(self.instructions)) if self.instructions[at].opname == "FOR_ITER")
        end = self.places[self.instructions[loop].argval]
        ends = range(end, len(self.instructions))
        return next(at for at in ends if any(one.startswith("STORE") for one in _accesses(self.instructions[at], name)))


def _has_a_write(accesses: list[str]) -> bool:
    return any(one.startswith(_WRITES) for one in accesses)


_flow = functools.lru_cache(64)(_Flow)


@functools.lru_cache(1024)
def is_read_first(code: CodeType, at: int, name: str, *, is_ordinary: bool = False) -> bool:
    """Return whether a path from behind the instruction at offset `at` reads the variable before it writes it.

    `is_ordinary`: of those paths on which nothing is raised and each `for` inside of the superstep has something to do.

    An inner function that may read it counts as one that does. Of a loop, `at` is the instruction that asks for the next superstep; the
    paths begin with the superstep and not with the loop's end, for a superstep that follows a commit runs.
    """
    if name in code.co_freevars:
        return True
    flow = _flow(code)
    if name in code.co_cellvars and any(set(_accesses(one, name)) & set(_CAPTURES) and one.offset < at for one in flow.instructions):
        return True
    return flow.reads_first(flow.place(at) + 1, name, is_ordinary=is_ordinary)


@functools.lru_cache(1024)
def is_kept_for_the_end(code: CodeType, at: int, name: str) -> bool:
    """Return whether an ordinary superstep leaves a variable as it is, and what follows the loop at offset `at` may read it first.

    A path is ordinary if nothing is raised on it and each `for` inside of the superstep has something to do.
    """
    flow = _flow(code)
    loop = flow.place(at)
    if loop < 0 or flow.instructions[loop].opname != "FOR_ITER":
        return False
    end = flow.places[flow.instructions[loop].argval]
    return flow.keeps(loop + 1, end, name) and flow.reads_first(end, name)


def _accesses(one: dis.Instruction, name: str) -> list[str]:
    """Return what an instruction does with a variable, in order: LOAD_..., STORE_... or DELETE_...; another word for an unknown one."""
    names = one.argval if isinstance(one.argval, tuple) else (one.argval,)
    if name not in names or one.opname.endswith(_OTHER_NAMES) or one.opname in ("KW_NAMES", "MAKE_CELL", "COPY_FREE_VARS"):
        return []
    verbs = [word for word in one.opname.split("_") if word in ("LOAD", "STORE", "DELETE")]
    if len(names) == 1 or len(verbs) != len(names):
        return [one.opname]
    return [verb for verb, each in zip(verbs, names, strict=True) if each == name]


@functools.lru_cache(4096)
def reads_global(code: CodeType, name: str) -> bool:
    """Return whether a function, or one inside of it, reads a variable of its module."""
    return _has(code, name, ("LOAD_GLOBAL", "LOAD_NAME"))


@functools.lru_cache(4096)
def writes_global(code: CodeType, name: str) -> bool:
    """Return whether a function, or one inside of it, writes a variable of its module."""
    return _has(code, name, ("STORE_GLOBAL", "STORE_NAME"))


def _has(code: CodeType, name: str, opnames: tuple[str, ...]) -> bool:
    return any(
        name in one.co_names and any(step.argval == name and step.opname in opnames for step in dis.get_instructions(one))
        for one in all_codes(code)
    )
