"""A reader that stops reading, as `less` does, or a terminal after Ctrl-S: recovery goes on, and no output of the program is lost."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cli.test_command import wait_for
from tests.faults.conftest import PROGRAM

from perdure.core.job_events import EventsDroppedEvent, ProgressEvent, TimedEvent
from perdure.launch.event_queue import EventQueue

PRINTS = str(pathlib.Path(__file__).parents[1] / "programs" / "prints_much.py")
RANKS = 4


class FullPipe:
    """A pipe into which nothing goes any more, until it is read."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.write, False)
        try:
            while os.write(self.write, b"-" * 4095 + b"\n"):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(self.write, True)

    def drain(self) -> Iterator[str]:
        """All lines that others have written, until they have ended."""
        os.close(self.write)
        with open(self.read, encoding="utf-8") as reader:
            for line in reader:
                if line.strip("-\n"):
                    yield line.rstrip("\n")


def job(*words: str, **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "perdure", "run", *words], stdin=subprocess.DEVNULL, **streams)


def events_in(path: pathlib.Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def names_in(path: pathlib.Path) -> list[str]:
    return [event["event"] for event in events_in(path)]


def test_a_job_recovers_and_ends_while_nobody_reads_standard_error(tmp_path: pathlib.Path) -> None:
    pipe, events = FullPipe(), tmp_path / "events.jsonl"
    with open(tmp_path / "out", "wb") as out:
        child = job(PROGRAM, "--events", str(events), "--fault", "kill:node=2,superstep=12", "--json", stdout=out, stderr=pipe.write)
    wait_for(lambda: "finished" in names_in(events), "the job waits for a reader of standard error")
    assert names_in(events).count("node_lost") == 1
    assert "orchestrator_lost" not in names_in(events)
    shown = list(pipe.drain())
    assert child.wait(30) == 0
    assert any("node 2 is lost" in line for line in shown)
    assert any("the job continues" in line for line in shown)


def test_a_job_recovers_and_reports_while_nobody_reads_its_events(tmp_path: pathlib.Path) -> None:
    pipe = FullPipe()
    words = (PROGRAM, "--events", f"/dev/fd/{pipe.write}", "--fault", "kill:node=2,superstep=12", "--json")
    with open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err:
        child = job(*words, stdout=out, stderr=err, pass_fds=[pipe.write])
    wait_for(lambda: (tmp_path / "out").read_text().endswith("}\n"), "the job waits for a reader of its events")
    assert json.loads((tmp_path / "out").read_text().splitlines()[-1])["losses"] == 1
    told = [json.loads(line)["event"] for line in pipe.drain()]
    assert child.wait(30) == 0
    assert told[0] == "started"
    assert told[-1] == "finished"
    assert "events_dropped" not in told


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_ranks_whose_output_nobody_reads_wait_are_not_hung_and_recover(tmp_path: pathlib.Path, stream: str) -> None:
    """The ranks stand in `print` for longer than a hang or a deadlock may last, and then a node is lost."""
    pipe, events = FullPipe(), tmp_path / "events.jsonl"
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: pipe.write}
    limits = ["--hang-timeout", "1", "--setting", "hang_factor=1", "--setting", "deadlock_timeout_s=1"]
    told = [*limits, "--events", str(events), "--fault", "kill:node=2,superstep=9,delay_ms=4000"]
    child = job(PRINTS, *told, "--", "--supersteps", "40", "--stream", stream, "--quiet-until", "9", **streams)
    wait_for(lambda: any(event["event"] == "resumed" and event["generation"] == 2 for event in events_in(events)), "no recovery")
    assert "worker_lost" not in names_in(events)
    lines = [line for line in pipe.drain() if line.startswith("<")]
    assert child.wait(30) == 0
    assert all(re.fullmatch(r"<rank \d line \d+ x{40}>", line) for line in lines)
    found = {tuple(re.findall(r"\d+", line)) for line in lines}
    assert found == {(str(rank), str(number)) for rank in range(RANKS) for number in range(9, 40)}


def test_events_that_do_not_fit_are_counted_in_their_place() -> None:
    reads, taken = threading.Event(), list[TimedEvent]()

    def take(event: TimedEvent) -> None:
        reads.wait()
        taken.append(event)

    queue = EventQueue(take, name="test", events_max=4)
    for number in range(10):
        queue.put(TimedEvent(t=float(number), event=ProgressEvent(superstep=number)))
    assert not queue.close(patience_s=0.01)
    reads.set()
    assert queue.close()
    assert [timed.event for timed in taken[:-1]] == [ProgressEvent(superstep=number) for number in range(4)]
    assert taken[-1] == TimedEvent(t=9.0, event=EventsDroppedEvent(count=6))
