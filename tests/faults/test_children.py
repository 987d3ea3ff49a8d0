"""Processes that a program starts in sessions of their own end with their worker, their node, and the job."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from perdure.testing.leak_check import MARK, end_marked, marked
from tests.cli.test_command import alive, wait_for

PROGRAM = str(pathlib.Path(__file__).parents[1] / "programs" / "leaves_children.py")
RANKS = 3


class Running:
    """`perdure run`, whose processes all carry a mark."""

    def __init__(self, folder: pathlib.Path, *words: str) -> None:
        self.folder, self.mark = folder, f"{os.getpid()}-{folder.name}"
        self._events = folder / "events.jsonl"
        command = [sys.executable, "-m", "perdure", "run", PROGRAM, "--ranks", str(RANKS), "--commit-every", "20", *words]
        given = ["--events", str(self._events), "--", "--folder", str(folder)]
        self.child = subprocess.Popen([*command, *given], env={**os.environ, MARK: self.mark}, stdin=subprocess.DEVNULL)

    def events(self, name: str) -> list[dict[str, Any]]:
        text = self._events.read_text() if self._events.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if line["event"] == name]

    def numbers(self, rank: int, generation: int) -> list[int]:
        """The process of a rank, and what it has started."""
        note = self.folder / f"{rank}.{generation}"
        wait_for(lambda: note.exists() and note.read_text().endswith("\n"), f"rank {rank} was not entered in generation {generation}")
        return [int(word) for word in note.read_text().split()]

    def runs(self, generation: int) -> None:
        for rank in range(RANKS):
            self.numbers(rank, generation)
        wait_for(lambda: any(event["superstep"] for event in self.events("committed")), "no commit")

    def stop(self) -> None:
        (self.folder / "stop").touch()
        assert self.child.wait(30) == 0


@pytest.fixture
def running(tmp_path: pathlib.Path) -> Iterator[Running]:
    job = Running(tmp_path)
    yield job
    job.child.kill()
    job.child.wait()
    end_marked(job.mark, signal.SIGKILL)
    for note in tmp_path.glob("*.*"):
        if note.suffix[1:].isdecimal():
            end([int(word) for word in note.read_text().split()])


def end(numbers: list[int]) -> None:
    for number in filter(alive, numbers):
        os.kill(number, signal.SIGKILL)


def none_lives(numbers: list[int]) -> bool:
    return not any(map(alive, numbers))


def test_a_workers_children_end_with_it_and_all_end_with_the_job(running: Running) -> None:
    running.runs(1)
    worker, *children = running.numbers(1, 1)
    assert all(map(alive, children))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: none_lives(children), "children of a killed worker live on")
    others = running.numbers(0, 1)
    assert all(map(alive, others)), "children of another rank were ended"
    started = running.numbers(1, 2)
    running.stop()
    wait_for(lambda: none_lives([*others, *started]), "children outlive the job")
    wait_for(lambda: not marked(running.mark), "a process is left")


def test_a_nodes_children_end_with_it_and_nothing_of_it_stays_in_the_supervisor(running: Running) -> None:
    running.runs(1)
    _, *children = running.numbers(2, 1)
    node = next(event["pid"] for event in running.events("agent_started") if event["node"] == 2)
    supervisor = pathlib.Path(f"/proc/{running.child.pid}")
    before = len(list((supervisor / "fd").iterdir()))
    os.killpg(node, signal.SIGKILL)
    found_by_their_environment = [number for place, number in enumerate(children) if place != 2]
    wait_for(lambda: none_lives(found_by_their_environment), "children of a lost node live on")
    running.runs(2)
    wait_for(lambda: not (pathlib.Path("/proc") / str(node)).exists(), "a zombie is left in the supervisor")
    wait_for(lambda: len(list((supervisor / "fd").iterdir())) < before, "descriptors are left in the supervisor")
    running.stop()
    end([children[2]])  # it left its session, has emptied its environment, and its node was killed at once
    wait_for(lambda: not marked(running.mark), "a process is left")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_all_end_when_the_supervising_process_is_ended(running: Running, sign: signal.Signals) -> None:
    running.runs(1)
    children = [number for rank in range(RANKS) for number in running.numbers(rank, 1)]
    assert all(map(alive, children))
    running.child.send_signal(sign)
    running.child.wait(30)
    wait_for(lambda: none_lives(children), "children outlive the supervising process")
    wait_for(lambda: not marked(running.mark), "a process is left")


def test_a_node_that_loses_its_nursery_ends_its_children(running: Running) -> None:
    running.runs(1)
    worker, *children = running.numbers(2, 1)
    nursery = int(pathlib.Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(nursery, signal.SIGKILL)
    wait_for(lambda: none_lives(children[:2]), "children of a lost nursery live on")
    running.runs(2)
    running.stop()
    wait_for(lambda: not marked(running.mark), "a process is left")
