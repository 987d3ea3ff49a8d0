"""What the supervisor's processes send is received before their ends, and nothing of them is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from perdure.core.messages.supervisor import FaultSpent
from perdure.engines import Process
from perdure.errors import EngineFailed
from perdure.launch.process_table import ProcessTable, Reactions
from perdure.runtime.control_stream import ControlStream
from perdure.streams.pairs import pair


class Fake:
    """As a process that an engine has started; `die` is its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.done: list[str] = []
        self._ours, self._theirs = pair()
        ours, self.stream = pair()
        self.control = ControlStream(ours)

    def fileno(self) -> int:
        return self._ours.fileno()

    def die(self) -> None:
        self._theirs.close()

    def how_it_ended(self) -> str:
        self.done.append("waited for")
        return "was killed by SIGKILL"

    def sweep(self) -> None:
        self.done.append("swept")

    def reap(self) -> None:
        self.done.append("reaped")

    def close(self) -> None:
        for end in (self._ours, self._theirs, self.stream, self.control):
            end.close()


class FakeEngine:
    """As an engine, of which only `start` and `kill` are used."""

    def __init__(self) -> None:
        self.started: list[Fake] = []
        self.killed: list[Process] = []
        self.fails = False

    def start(self, node: int, what: str, config: bytes) -> Process:
        if self.fails:
            raise EngineFailed("no memory")
        self.started.append(Fake(1 << 30 | len(self.started)))  # no process of this machine has such a number
        return self.started[-1]

    def kill(self, process: Process) -> None:
        self.killed.append(process)


class Scene:
    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.table = ProcessTable(self.engine)  # type: ignore[arg-type]
        self.seen: list[Any] = []

    def start(self, key: Any) -> Fake:
        reactions = Reactions(
            lines=lambda lines, is_within: self.seen.append((key, lines, is_within)), ended=lambda how: self.seen.append((key, how))
        )
        self.table.start(key, 0, b"", reactions)
        return self.engine.started[-1]

    def turn(self) -> None:
        self.table.turn(time.monotonic())


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.table.close()
    for process in made.engine.started:
        process.close()


def test_lines_are_received_with_what_has_begun_after_them(scene: Scene) -> None:
    process = scene.start(("orchestrator", 1))
    process.stream.send(b"one\ntwo\nthr")
    scene.turn()
    process.stream.send(b"ee\n")
    scene.turn()
    assert scene.seen == [(("orchestrator", 1), [b"one", b"two"], True), (("orchestrator", 1), [b"three"], False)]


def test_the_last_lines_of_a_process_come_before_its_end(scene: Scene) -> None:
    """They may be why it has ended."""
    process = scene.start(("agent", 1))
    process.die()
    process.stream.send(b"last\n")
    scene.turn()
    assert [what for _, what, *_ in scene.seen] == [[b"last"], "was killed by SIGKILL"]
    assert process.done == ["waited for", "swept"]
    assert scene.engine.killed == [process], "what is left of its session"


def test_the_end_of_a_stream_is_no_end_of_the_process(scene: Scene) -> None:
    process = scene.start(("agent", 1))
    process.stream.close()
    scene.turn()
    scene.turn()
    assert scene.seen == []
    process.die()
    scene.turn()
    assert scene.seen == [(("agent", 1), "was killed by SIGKILL")]


def test_nothing_is_done_to_a_process_that_has_ended(scene: Scene) -> None:
    """Its number may be another process's by now."""
    process = scene.start(("orchestrator", 1))
    process.die()
    scene.turn()
    assert process.done == ["waited for", "reaped"]
    scene.engine.killed.clear()
    scene.table.kill(("orchestrator", 1))
    scene.table.send(("orchestrator", 1), FaultSpent(index=0))
    assert scene.engine.killed == []
    assert scene.table.pids("orchestrator", [1]) == {}
    assert scene.table.stopped("orchestrator", [1]) == ()


def test_all_are_ended_and_reaped_at_the_close(scene: Scene) -> None:
    ended, running = scene.start(("agent", 1)), scene.start(("agent", 2))
    ended.die()
    scene.turn()
    scene.table.close()
    assert running in scene.engine.killed
    for process in (ended, running):
        assert process.done[-2:] == ["reaped", "swept"]
        assert process.control.fileno() < 0
    scene.table = ProcessTable(scene.engine)  # type: ignore[arg-type]


def test_a_process_that_cannot_be_started_is_not_there(scene: Scene) -> None:
    scene.engine.fails = True
    with pytest.raises(EngineFailed):
        scene.start(("agent", 1))
    assert scene.table.pids("agent", [1]) == {}
