"""The register of a job in a record: what the record keeps, and that the supervisor's thread never waits for it."""

from __future__ import annotations

import logging
import pathlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from tests.core.test_register import plans

from perdure.core import events as ev
from perdure.core.plan import Plan
from perdure.core.register import MemoryRegister, Register
from perdure.engines.directory_record import DirectoryRecord
from perdure.errors import EngineFailed
from perdure.launch import record_register
from perdure.launch.record_register import RecordRegister, ThreadedRegister
from perdure.runtime.reactor import Reactor

DEADLINE_S = 30.0


@pytest.fixture(params=["memory", "record"])
def register(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Register:
    return MemoryRegister() if request.param == "memory" else RecordRegister(DirectoryRecord(tmp_path), "job/")


def test_both_registers_keep_the_first_plan_of_the_newest_generation(register: Register) -> None:
    """Generation 10 is newer than 9, although its key is before that of 9 in the alphabet."""
    found = plans()
    while len(found) < 11:
        found.append(found[-1].amended(found[-1].change_to(found[-1])))
    assert register.read() is None
    for plan in found:
        assert register.create(plan) == plan
    assert register.create(found[3]) == found[-1]
    register.note(found[4])
    assert register.read() == found[-1]


def test_of_two_plans_of_a_generation_the_first_one_stays(tmp_path: pathlib.Path) -> None:
    """Two supervisors would carry out different plans."""
    one, two, *_ = plans()
    other = one.amended(two.change_to(two))
    different = type(other)(**{name: getattr(two, name) for name in ("generation", "placements", "groups", "parity", "base")},
                            positions=(7, 8), addresses=two.addresses)  # fmt: skip
    registers = [RecordRegister(DirectoryRecord(tmp_path), "job/") for _ in range(2)]
    assert registers[0].create(two) == two
    assert registers[1].create(different) == two
    assert RecordRegister(DirectoryRecord(tmp_path), "another/").read() is None


class GatedRecord(DirectoryRecord):
    """Each call takes its turn from a queue: an error to raise, or None."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path)
        self.turns: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self.threads: set[int] = set()
        self.is_called = threading.Event()

    def keys(self, prefix: str) -> Sequence[str]:
        self.threads.add(threading.get_ident())
        self.is_called.set()
        if (error := self.turns.get(timeout=DEADLINE_S)) is not None:
            raise error
        return super().keys(prefix)


class Job:
    """A reactor, and a register that answers on it."""

    def __init__(self, record: DirectoryRecord) -> None:
        self.reactor = Reactor()
        self.answers: list[ev.RegisterAnswered] = []
        self.register = ThreadedRegister(record, "job", self.reactor, self.answers.append)

    def answered(self, count: int) -> list[Plan | None]:
        deadline = time.monotonic() + DEADLINE_S
        while len(self.answers) < count:
            assert time.monotonic() < deadline, self.answers
            self.reactor.turn(time.monotonic() + 0.1)
        return [answer.plan for answer in self.answers]

    def close(self) -> None:
        self.register.close()
        self.reactor.close()


@pytest.fixture
def opened() -> Iterator[Callable[[DirectoryRecord], Job]]:
    jobs: list[Job] = []

    def opener(record: DirectoryRecord) -> Job:
        jobs.append(Job(record))
        return jobs[-1]

    yield opener
    for job in jobs:
        job.close()


def test_calls_return_at_once_and_are_answered_in_order(opened: Callable[[DirectoryRecord], Job], tmp_path: pathlib.Path) -> None:
    one, two, three, _ = plans()
    record = GatedRecord(tmp_path)
    job = opened(record)
    job.register.read(1)
    job.register.create(1, one)
    job.register.note(two)
    job.register.create(2, three)
    job.reactor.turn(0.0)
    assert not job.answers
    assert job.register.newest == two
    for _ in range(7):
        record.turns.put(None)
    assert job.answered(3) == [None, one, three]
    assert [answer.orchestrator for answer in job.answers] == [1, 1, 2]
    assert job.register.newest == three
    assert len(record.threads) == 1
    assert threading.get_ident() not in record.threads


@pytest.mark.parametrize("error", [OSError("no route"), EngineFailed("no answer of the cluster")])
def test_a_call_is_repeated_until_the_record_is_reached(
    opened: Callable[[DirectoryRecord], Job], tmp_path: pathlib.Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    record = GatedRecord(tmp_path)
    job = opened(record)
    for turn in (error, error, None):
        record.turns.put(turn)
    job.register.read(1)
    assert job.answered(1) == [None]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"the engine's record cannot be reached ({error}): trying again"]


def test_an_error_of_another_kind_ends_the_job(opened: Callable[[DirectoryRecord], Job], tmp_path: pathlib.Path) -> None:
    """It would be repeated for ever, or the thread would be gone and the job would wait."""
    record = GatedRecord(tmp_path)
    record.turns.put(TypeError("a defect"))
    job = opened(record)
    job.register.read(1)
    with pytest.raises(EngineFailed, match=r"the engine's record failed \(TypeError: a defect\)"):
        job.answered(1)


def test_a_value_that_is_no_plan_ends_the_job(opened: Callable[[DirectoryRecord], Job], tmp_path: pathlib.Path) -> None:
    record = DirectoryRecord(tmp_path)
    record.create("job/plan/1", b'{"perdure": "RegisterHolds", "plan": 7}')
    job = opened(record)
    job.register.read(1)
    with pytest.raises(EngineFailed, match=r"the engine's record failed \(WireError"):
        job.answered(1)


def test_the_end_of_a_job_does_not_wait_for_a_record_that_hangs(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_register, "FORGET_TIMEOUT_S", 0.1)
    record = GatedRecord(tmp_path)
    record.create("job/plan/1", b"")
    job = Job(record)
    job.register.read(1)
    assert record.is_called.wait(DEADLINE_S)
    job.close()
    assert "has not answered for 0.1 s: keys that begin with job/ may remain" in caplog.text
    record.turns.put(None)
    job.register._thread.join(DEADLINE_S)
    assert not list(DirectoryRecord(tmp_path).keys("")), "the thread removes them when the record answers after all"


def test_a_record_that_does_not_answer_is_logged(
    opened: Callable[[DirectoryRecord], Job], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user would see a recovery that does not happen, and no reason."""
    monkeypatch.setattr(record_register, "SLOW_S", 0.0)
    record = GatedRecord(tmp_path)
    job = opened(record)
    job.register.read(1)
    job.reactor.turn(0.0)
    record.turns.put(None)
    job.answered(1)
    assert "the engine's record has not answered for 0 s" in caplog.text
