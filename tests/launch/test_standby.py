"""The next orchestrator waits: one at a time, and one that cannot live is not started again and again."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Iterator

import pytest

from perdure.engines import Process
from perdure.errors import EngineFailed
from perdure.launch.standby import Standby
from perdure.runtime.control_stream import ControlStream
from perdure.streams.pairs import pair


class Waiting:
    """As a process that an engine has started; `die` is its end."""

    def __init__(self, pid: int) -> None:
        self.pid, self.reaped = pid, False
        self._ours, self._theirs = pair()
        ours, self._hers = pair()
        self.control = ControlStream(ours)

    def fileno(self) -> int:
        return self._ours.fileno()

    def die(self) -> None:
        self._theirs.close()

    def how_it_ended(self) -> str:
        return "was killed by SIGKILL"

    def sweep(self) -> None:
        """It has started nothing."""

    def reap(self) -> None:
        self.reaped = True

    def close(self) -> None:
        for end in (self._ours, self._theirs, self._hers, self.control):
            end.close()


class Starts:
    """As an engine, of which only `start` is used."""

    def __init__(self) -> None:
        self.started: list[Waiting] = []
        self.fails = False

    def start(self, node: int, what: str, config: bytes) -> Process:
        if self.fails:
            raise EngineFailed("no memory")
        self.started.append(Waiting(len(self.started)))
        return self.started[-1]


@pytest.fixture
def starts() -> Iterator[Starts]:
    made = Starts()
    yield made
    for process in made.started:
        process.close()


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with contextlib.closing(selectors.DefaultSelector()) as made:
        yield made


def turn(selector: selectors.BaseSelector) -> None:
    for key, _ in selector.select(0):
        key.data()


def test_the_one_that_waits_is_taken_and_the_next_one_is_prepared_once(starts: Starts, selector: selectors.BaseSelector) -> None:
    standby = Standby(starts, b"", selector)  # type: ignore[arg-type]
    assert standby.take() is starts.started[0], "nobody waits yet"
    standby.prepare()
    standby.prepare()
    assert len(starts.started) == 2
    assert standby.take() is starts.started[1]
    assert not selector.get_map(), "whoever takes it watches it"
    standby.prepare()
    assert standby.leave() is starts.started[2]
    assert standby.leave() is None


def test_one_that_ends_while_it_waits_is_not_missed(starts: Starts, selector: selectors.BaseSelector) -> None:
    standby = Standby(starts, b"", selector)  # type: ignore[arg-type]
    standby.prepare()
    starts.started[0].die()
    turn(selector)
    assert starts.started[0].reaped
    standby.prepare()
    assert len(starts.started) == 1, "before it was needed"
    assert standby.take() is starts.started[1]
    standby.prepare()
    assert len(starts.started) == 3


def test_one_that_cannot_be_started_stops_nobody(starts: Starts, selector: selectors.BaseSelector) -> None:
    standby = Standby(starts, b"", selector)  # type: ignore[arg-type]
    starts.fails = True
    standby.prepare()
    assert standby.leave() is None
    with pytest.raises(EngineFailed):
        standby.take()
