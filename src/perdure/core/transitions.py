"""States as tables: which may follow which. A machine that would leave its table has a mistake in it, and says so at once."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from perdure.errors import InternalError

State = TypeVar("State", bound=StrEnum)


def follow(table: Mapping[State, frozenset[State]], old: State, new: State, who: str) -> State:
    """`new`, if it may follow `old`; to stay is always allowed. InternalError otherwise."""
    if new is not old and new not in table[old]:
        raise InternalError(f"{who}: {old} -> {new} is not among the transitions of {type(old).__name__}")
    return new


def diagram(table: Mapping[State, frozenset[State]]) -> str:
    """The table as a Mermaid state diagram, in the order of the table. It begins with the first state; nothing follows the last ones."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(table))}"]
    for old, following in table.items():
        lines += [f"    {old} --> {new}" for new in table if new in following]
        lines += [] if following else [f"    {old} --> [*]"]
    return "\n".join(lines)
