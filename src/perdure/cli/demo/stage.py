"""One of the demo's two runs, as a viewer sees it, and the comparison of their commits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from perdure.cli.watch import Watch
from perdure.core.job_events import CommittedEvent, TimedEvent
from perdure.launch.rehearsal import Difference, Digests, first_difference

TITLES: Final = ("with losses", "undisturbed")
RANKS, SPARES, PARITY = 4, 1, 1


def killed(count: int) -> str:
    """In words."""
    return "1 node killed" if count == 1 else f"{count or 'no'} nodes killed"


class DemoStage:
    """Takes the events of one run, keeps the digests of its commits, and compares them with those of the run before it, if any."""

    def __init__(self, title: str, count: int, before: DemoStage | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`count`: supersteps of the program."""
        self.title, self.before = title, before
        self.watch = Watch(clock, count)
        self.digests: Digests = {}
        self.difference: Difference | None = None

    def take(self, timed: TimedEvent) -> None:
        """One event."""
        self.watch.take(timed)
        match timed.event:
            case CommittedEvent(superstep=superstep, digests=digests):
                self.digests[superstep] = digests
                if self.before is not None and self.difference is None and superstep in self.before.digests:
                    ours, theirs = {superstep: digests}, {superstep: self.before.digests[superstep]}
                    self.difference = first_difference(ours, theirs, "the losses")

    @property
    def compared(self) -> int:
        """Commits that both runs have made."""
        return len(self.digests.keys() & self.before.digests.keys()) if self.before else 0

    @property
    def status(self) -> str:
        """The state of the stage, in a few words."""
        if self.difference is not None:
            return "differs"
        if self.before is not None:
            return f"{self.compared} commits equal"
        took = "" if self.watch.finished is None else f", {self.watch.finished:.0f} s"
        return f"{killed(self.watch.losses)}{took}"

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the end of the last stage, if it takes as long as this one so far; None if there is no estimate."""
        left = self.watch.time_left_s
        if left is None or self.before is not None:
            return left
        return left + self.watch.startup_s + (self.watch.t - self.watch.startup_s + left)
