"""The ordered values of the protocol, labels and ballots, and the ids of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NewType

END: Final = 1 << 62
"""The superstep of the label that holds the state after `main` returned (rule C10); later than every real superstep."""
NodeId = NewType("NodeId", str)
"""What an engine calls a node, such as "local/3" or "hosts/h1/2": never used again in a job. Events show numbers instead."""


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """(g, s): the state before superstep s, encoded in generation g. Its bytes never change. Ordered by (g, s)."""

    generation: int
    superstep: int

    def __str__(self) -> str:
        step = "END" if self.superstep == END else str(self.superstep)
        return f"({self.generation}, {step})"


@dataclass(frozen=True, slots=True, order=True)
class Ballot:
    """Who may decide the next generation: the round is the orchestrator's own, higher at every restart."""

    round: int
    attempt: int

    def __str__(self) -> str:
        return f"({self.round}, {self.attempt})"
