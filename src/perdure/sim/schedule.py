"""Virtual time: what happens next? A heap of calls, each at its instant; the same seed gives the same order."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any


class Schedule:
    """Time stands still while a call runs and leaps from one to the next."""

    def __init__(self, seed: str) -> None:
        self.now = 0.0
        """Seconds since the start. Machines see it through clocks of their own."""
        self.dice = random.Random(seed)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Calls of one instant happen in the order in which they were asked for."""
        self._count += 1
        heapq.heappush(self._heap, (when_s, self._count, call, arguments))

    def after(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """`at`, counted from now."""
        self.at(self.now + delay_s, call, *arguments)

    def about(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """`after` half to one and a half times this long."""
        self.at(self.now + delay_s * (0.5 + self.dice.random()), call, *arguments)

    def step(self) -> None:
        """The next call. IndexError when nothing will ever happen again."""
        when, _, call, arguments = heapq.heappop(self._heap)
        self.now = max(self.now, when)
        call(*arguments)
