"""The demo without a terminal: a line for each thing that happened, and now and then how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Self

from perdure.cli.demo.stage import DemoStage
from perdure.cli.display import in_words
from perdure.cli.parts import clock, progress_words
from perdure.core.job_events import ProgressEvent, TimedEvent

EVERY_S: Final = 2.0
"""Between two lines of progress."""


class Lines:
    """Writes with `write`, one call a line."""

    view: Final = ""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._next = 0.0
        self._stage: DemoStage | None = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing, because the viewer holds no resources."""

    def begin(self, stage: DemoStage) -> None:
        """The next stage: its events come from now on."""
        self._stage, self._next = stage, 0.0
        self._write(f"{stage.title}: {stage.watch.count} supersteps")

    def take(self, timed: TimedEvent) -> None:
        """One event of the stage that runs."""
        assert self._stage is not None
        self._stage.take(timed)
        words = in_words(timed.event)
        if words:
            self._write(f"{timed.t:8.2f} s  {words}")
        if isinstance(timed.event, ProgressEvent) and self._clock() >= self._next:
            self._next = self._clock() + EVERY_S
            stage = self._stage
            self._write(f"{timed.t:8.2f} s  {progress_words(stage.watch)}, {stage.status}; {clock(stage.time_left_s)} left")
