"""Where a program's variables are looked up: the locals of functions that wait for the loop, and the globals of modules."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, NamedTuple

from perdure.adapters.variable_paths import OPAQUE

OF_IMPORT: Final = frozenset({"__builtins__", "__loader__", "__spec__"})
"""Variables that Python gives a module, and that hold nothing of the program."""


class Root(NamedTuple):
    """A variable.

    Attributes:
        space: 0 for the looping function, then the numbers of the modules and of the functions that wait for it.
        name: in the function or module.
    """

    space: int
    name: str


@dataclass(slots=True, eq=False)
class Space:
    """Names that have values: the locals of a function, or the globals of a module.

    Attributes:
        frame: of a function; None: a module.
        module: its name, or empty.
        names: of a module.
        captured: variables of the function that functions captured, or that it captured.
        looked_at: the names of a module and the types of their values when they were looked at last, and the names of values that may
            hold something.
    """

    frame: FrameType | None
    module: str = ""
    names: dict[str, Any] = field(default_factory=dict)
    captured: frozenset[str] = field(init=False)
    looked_at: tuple[list[str], list[type], list[str]] = ([], [], [])

    def __post_init__(self) -> None:
        code = self.frame.f_code if self.frame is not None else None
        self.captured = frozenset() if code is None else frozenset(code.co_cellvars + code.co_freevars)

    def now(self) -> dict[str, Any]:
        """Return the names and their values."""
        return self.names if self.frame is None else self.frame.f_locals

    def to_look_at(self, noted: Container[str]) -> list[tuple[str, Any]]:
        """Return the names that are `noted`, and those whose values may hold something, with the values.

        At each commit: of a module, most names have values of the types that they had before.
        """
        if self.frame is not None:
            return [(name, value) for name, value in self.frame.f_locals.items() if type(value) not in OPAQUE or name in noted]
        now = self.names.copy()  # another thread may add names meanwhile
        names, types = list(now), list(map(type, now.values()))
        if names != self.looked_at[0] or types != self.looked_at[1]:
            found = [name for name, cls in zip(names, types, strict=True) if name in noted or (cls not in OPAQUE and name not in OF_IMPORT)]
            self.looked_at = names, types, found
        return [(name, now[name]) for name in self.looked_at[2]]
