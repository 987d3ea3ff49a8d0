"""What the supervisor's processes send is received before their ends, and nothing is received after them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from perdure.core.messages.supervisor import FaultSpent
from perdure.launch.process_table import Key, ProcessTable
from perdure.streams import Stream
from perdure.streams.pairs import pair

NOBODY = 1 << 30
"""No process of this machine has such a number."""


class Scene:
    def __init__(self) -> None:
        self.table = ProcessTable()
        self.seen: list[Any] = []
        self.streams: list[Stream] = []

    def enter(self, key: Key) -> Stream:
        """A process with a number runs; return its end of the stream."""
        ours, theirs = pair()
        self.streams += [ours, theirs]
        self.table.enter(key, ours, NOBODY, lambda lines, is_within: self.seen.append((key, lines, is_within)))
        return theirs

    def turn(self) -> None:
        self.table.reactor.turn(time.monotonic())


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.table.close([])
    for stream in made.streams:
        stream.close()


def test_lines_are_received_with_what_has_begun_after_them(scene: Scene) -> None:
    stream = scene.enter(("orchestrator", 1))
    stream.send(b"one\ntwo\nthr")
    scene.turn()
    stream.send(b"ee\n")
    scene.turn()
    assert scene.seen == [(("orchestrator", 1), [b"one", b"two"], True), (("orchestrator", 1), [b"three"], False)]


def test_the_last_lines_of_a_process_come_before_its_end(scene: Scene) -> None:
    """They may be why it has ended."""
    stream = scene.enter(("agent", 1))
    stream.send(b"last\n")
    scene.table.leave(("agent", 1))
    assert scene.seen == [(("agent", 1), [b"last"], False)]


def test_the_end_of_a_stream_is_no_end_of_the_process(scene: Scene) -> None:
    """Its number still means it, and what looks for stopped processes finds it."""
    scene.enter(("agent", 1)).close()
    scene.turn()
    scene.turn()
    assert scene.seen == []
    assert scene.table.pids("agent", [1]) == {1: NOBODY}
    scene.table.leave(("agent", 1))
    assert scene.table.pids("agent", [1]) == {}


def test_nothing_is_done_to_a_process_that_has_ended(scene: Scene) -> None:
    """Its number may be another process's by now."""
    scene.enter(("orchestrator", 1))
    scene.table.leave(("orchestrator", 1))
    scene.table.leave(("orchestrator", 1))
    scene.table.send(("orchestrator", 1), FaultSpent(index=0))
    assert scene.table.stopped("orchestrator", [1]) == ()


def test_all_processes_are_ended_at_the_close_even_if_one_cannot_be(scene: Scene) -> None:
    scene.enter(("agent", 1))
    ended = []

    def fails() -> None:
        ended.append("first")
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        scene.table.close([fails, lambda: ended.append("second")])
    assert ended == ["first", "second"]
    assert scene.streams[0].fileno() < 0
