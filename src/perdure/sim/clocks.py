"""Every process has a clock of its own: where it starts, and how fast it goes, is nobody else's business."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

DRIFT: Final = 2e-3
"""How much faster or slower a clock may go: far worse than any quartz, or a virtual machine that is moved."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Its time from the schedule's, in seconds."""

    zero_s: float = 0.0
    rate: float = 1.0

    def __call__(self, now_s: float) -> float:
        return self.zero_s + self.rate * now_s


def draw_clock(dice: random.Random, *, skew: bool) -> Clock:
    """A clock of a fresh process."""
    return Clock(dice.uniform(0.0, 1e5), 1.0 + dice.uniform(-DRIFT, DRIFT)) if skew else Clock()
