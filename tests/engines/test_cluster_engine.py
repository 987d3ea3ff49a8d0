"""An engine of a cluster fits the protocol: it passes the suite, with a job that recovers. Its jobs keep their plans in its record."""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from perdure.engines.directory_record import DirectoryRecord
from perdure.testing import EngineTests
from tests.engines.cluster_engine import ClusterEngine
from tests.faults.conftest import Story, tell, undisturbed

SUPERSTEPS = 30
HANG_S = 4.0
"""Longer than the time after which a silent orchestrator is replaced."""
DEADLINE_S = 40.0
KILL = "kill:node=1,superstep=7"


class TestCluster(EngineTests):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: pathlib.Path) -> None:
        self._path = tmp_path

    def make(self) -> ClusterEngine:
        return ClusterEngine(DirectoryRecord(self._path))


class DisturbedRecord(DirectoryRecord):
    """Before it creates the second plan, which is that of a recovery, it calls a function. It keeps the keys that were created."""

    def __init__(self, path: pathlib.Path, disturb: Callable[[], object]) -> None:
        super().__init__(path)
        self._disturb = disturb
        self.created: list[str] = []

    def create(self, key: str, value: bytes) -> bytes | None:
        if len(self.created) == 1:
            self._disturb()
        self.created.append(key)
        return super().create(key, value)


def run(record: DirectoryRecord, *faults: str, on_event: Callable[[dict[str, Any]], None] = lambda event: None) -> Story:
    """Run on two ranks and a spare. Two votes of two cannot be a majority of each other: the register decides (D0)."""
    arguments = {"supersteps": SUPERSTEPS, "pause": 0.02}
    story = tell(on_event, engine=ClusterEngine(record), ranks=2, spares=1, faults=faults, arguments=arguments)
    expected = undisturbed(2, SUPERSTEPS)
    assert story.report.digests == expected.report.digests
    assert story.report.result == expected.report.result
    assert list(record.keys("")) == [], "the plans of a job remain after its end"
    return story


def test_a_killed_orchestrator_is_replaced_and_finds_the_plan_in_the_record(tmp_path: pathlib.Path) -> None:
    record = DisturbedRecord(tmp_path, lambda: None)
    story = run(record, KILL, "orchestrator:superstep=5", "orchestrator:superstep=20")
    assert len(story.of("orchestrator_lost")) == 2
    generations = range(1, story.report.generations + 1)
    assert len(generations) in (2, 3), "2, or 3 where an orchestrator ends within the recovery"
    assert [key.rpartition("/")[2] for key in record.created] == [str(generation) for generation in generations]


def test_a_record_that_hangs_at_a_recovery_delays_it_and_nothing_else(tmp_path: pathlib.Path) -> None:
    """The supervisor goes on, so the orchestrator that waits for the answer is not taken for hung."""
    story = run(DisturbedRecord(tmp_path, lambda: threading.Event().wait(HANG_S)), KILL)
    assert story.report.generations == 2
    assert not story.of("orchestrator_lost")
    (lost,) = story.of("node_lost")
    assert story.of("generation_started")[-1]["t"] - lost["t"] >= HANG_S


def test_the_supervisor_replaces_an_orchestrator_while_the_record_hangs(tmp_path: pathlib.Path) -> None:
    pids: list[int] = []
    is_replaced = threading.Event()

    def disturb() -> None:
        os.kill(pids[-1], signal.SIGKILL)
        assert is_replaced.wait(DEADLINE_S), "the supervisor does nothing while the record hangs"

    def take(event: dict[str, Any]) -> None:
        if event["event"] == "orchestrator_started":
            pids.append(event["pid"])
            if len(pids) == 2:
                is_replaced.set()

    story = run(DisturbedRecord(tmp_path, disturb), KILL, on_event=take)
    assert len(story.of("orchestrator_lost")) == 1


def test_a_record_that_cannot_be_reached_is_tried_again(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    failures = [OSError("no route to the store") for _ in range(3)]

    def disturb() -> None:
        if failures:
            raise failures.pop()

    with caplog.at_level(logging.INFO, "perdure"):
        story = run(DisturbedRecord(tmp_path, disturb), KILL)
    assert story.report.generations == 2
    assert not failures
    texts = [record.getMessage() for record in caplog.records if "the engine's record" in record.getMessage()]
    assert texts == [
        "the engine's record cannot be reached (no route to the store): trying again", "the engine's record can be reached again",
    ]  # fmt: skip
