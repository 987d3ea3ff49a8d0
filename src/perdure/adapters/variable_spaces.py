"""The namespaces of a program's variables: the locals of functions that wait for the loop, and the globals of modules."""

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
    """

    frame: FrameType | None
    module: str = ""
    names: dict[str, Any] = field(default_factory=dict)
    captured: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        code = self.frame.f_code if self.frame is not None else None
        self.captured = frozenset() if code is None else frozenset(code.co_cellvars + code.co_freevars)

    def now(self) -> dict[str, Any]:
        """Return the names and their values."""
        return self.names if self.frame is None else self.frame.f_locals

    def to_look_at(self, noted: Container[str]) -> list[tuple[str, Any]]:
        """Return the names that are `noted`, and those whose values may hold something, with the values."""
        named = list(self.now().items())  # another thread may add names meanwhile
        return [(name, value) for name, value in named if name in noted or (type(value) not in OPAQUE and name not in OF_IMPORT)]
