"""Runs of a small program on real processes, compared with an undisturbed run of the same shape."""

from __future__ import annotations

import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest

import perdure
from perdure.launch import Report

PROGRAM = str(pathlib.Path(__file__).parent.parent / "programs" / "mixture.py")
DEADLINE_S = 60.0
Survive = Callable[..., "Story"]


class Story:
    """A report and the events that led to it."""

    def __init__(self, report: Report, events: list[dict[str, Any]]) -> None:
        self.report, self.events = report, events

    def of(self, *names: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] in names]

    def committed(self) -> dict[int, Any]:
        return {event["superstep"]: event["digests"] for event in self.of("committed")}


def tell(on_event: Callable[[dict[str, Any]], None] = lambda event: None, **options: Any) -> Story:
    """Runs the program; whatever it raises passes through."""
    events: list[dict[str, Any]] = []
    started = time.monotonic()

    def note(event: dict[str, Any]) -> None:
        events.append(event)
        on_event(event)
        assert time.monotonic() - started < DEADLINE_S, f"the job does not end: {events[-5:]}"

    report = perdure.run(PROGRAM, on_event=note, **{"commit_every": 3, **options})
    return Story(report, events)


@functools.cache
def undisturbed(ranks: int, supersteps: int) -> Story:
    return tell(ranks=ranks, spares=0, parity=0, arguments={"supersteps": supersteps})


@pytest.fixture
def survive() -> Survive:
    """Runs with faults; every commit, every item and the result must be those of the undisturbed run."""

    def run(*faults: str, ranks: int = 4, supersteps: int = 40, pause: float = 0.0, **options: Any) -> Story:
        story = tell(ranks=ranks, faults=faults, arguments={"supersteps": supersteps, "pause": pause}, **options)
        expected = undisturbed(ranks, supersteps)
        assert story.report.digests == expected.report.digests
        assert story.report.result == expected.report.result
        theirs, ours = expected.committed(), story.committed()
        assert all(ours[superstep] == theirs[superstep] for superstep in ours.keys() & theirs.keys())
        assert story.report.supersteps == supersteps
        return story

    return run
