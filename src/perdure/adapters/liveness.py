"""Is a variable read before it is written again? The question of live variables (Aho et al., Compilers, 9.2.5), for one variable at a time.

It is asked of a loop that stands between two supersteps: what a superstep writes before it reads it, a recovery need not bring back.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator
from types import CodeType
from typing import Final

_ENDS: Final = frozenset(
    {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
)
"""Instructions that the next one does not follow."""
_CAPTURE: Final = "LOAD_CLOSURE"


@functools.lru_cache(1024)
def is_read_first(code: CodeType, at: int, name: str) -> bool:
    """Return whether a path from behind the instruction at offset `at` reads the variable before it writes it.

    An inner function that may read it counts as one that does. Of a loop, `at` is the instruction that asks for the next superstep; the
    paths begin with the superstep and not with the loop's end, for a superstep that follows a commit runs.
    """
    if name in code.co_freevars:
        return True
    instructions = [one for one in dis.get_instructions(code) if one.opname != "CACHE"]
    places = {one.offset: number for number, one in enumerate(instructions)}
    handlers = [(one.start, one.end, one.target) for one in getattr(dis.Bytecode(code), "exception_entries", ())]
    captured = name in code.co_cellvars and any(_accesses(one, name) == [_CAPTURE] and one.offset < at for one in instructions)
    todo, seen = [max((number for offset, number in places.items() if offset <= at), default=-1) + 1], set[int]()
    while todo and not captured:
        number = todo.pop()
        if number in seen or number >= len(instructions):
            continue
        seen.add(number)
        one = instructions[number]
        todo += [places[target] for start, end, target in handlers if start <= one.offset < end]
        accesses = _accesses(one, name)
        if accesses:
            if accesses[0].startswith("LOAD"):
                return True
            continue
        if one.opname not in _ENDS:
            todo.append(number + 1)
        if one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
            todo.append(places[one.argval])
    return captured


def _accesses(one: dis.Instruction, name: str) -> list[str]:
    """Return what an instruction does with a variable, in order: LOAD_..., STORE_... or DELETE_..."""
    if not one.opname.startswith(("LOAD_", "STORE_", "DELETE_")) or one.opname.endswith(("_ATTR", "_METHOD", "_CONST", "_SUBSCR")):
        return []
    names = one.argval if isinstance(one.argval, tuple) else (one.argval,)
    verbs = [word for word in one.opname.split("_") if word in ("LOAD", "STORE", "DELETE")]
    if len(names) == 1:
        return [one.opname] if names[0] == name else []
    return [verb for verb, each in zip(verbs, names, strict=False) if each == name]


def reads_global(code: CodeType, name: str) -> bool:
    """Return whether a function, or one inside of it, reads a variable of its module."""
    return any(
        name in one.co_names
        and any(step.argval == name and step.opname in ("LOAD_GLOBAL", "LOAD_NAME") for step in dis.get_instructions(one))
        for one in _all_codes(code)
    )


def _all_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_codes(constant)
