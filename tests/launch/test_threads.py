"""The engine `threads`: the same API and the same bits as processes, in one process, for notebooks and debuggers."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

import numpy as np
import pytest

import perdure
from perdure import MPI, ConfigError, Deadlock, ProgramFailed, Settings, UsageError
from perdure.testing import rehearse

ROOT = pathlib.Path(__file__).parents[2]
HEAT = str(ROOT / "examples" / "heat" / "heat.py")
TSUNAMI = str(ROOT / "examples" / "tsunami" / "tsunami.py")


def ranks_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("rank ")]


@pytest.mark.parametrize(
    ("program", "options"),
    [
        (HEAT, {"arguments": {"n": 41, "supersteps": 60}}),
        (TSUNAMI, {"raw_arguments": {"coarsen": "6", "hours": "1"}}),
    ],
)
def test_bits_are_those_of_processes(program: str, options: Any) -> None:
    processes = perdure.run(program, spares=0, **options)
    threads = perdure.run(program, engine="threads", **options)
    assert threads.digests == processes.digests
    assert threads.supersteps == processes.supersteps
    assert np.array_equal(np.asarray(threads.result, object), np.asarray(processes.result, object))
    assert (threads.engine, threads.losses, threads.generations) == ("threads", 0, 1)
    assert threads.bytes["parity"] == 0
    assert ranks_left() == []


def everything(job: perdure.Job, own: list[int]) -> Any:
    """What a rank has for itself although it shares its process."""
    own.append(job.rank)
    job.sharded("plate", (8, 3), init=job.rank)
    draws = job.private("draws", np.zeros(4))
    for _ in job.supersteps(20, commit_every=3):
        draws += job.rng.random(4)
        assert perdure.current() is job
        assert MPI.COMM_WORLD.Get_rank() == job.rank
        assert job.comm.allreduce(1) == job.size
    return own, job.comm.gather(draws), job.gather("plate")


def test_each_rank_has_its_own_random_numbers_arguments_and_world() -> None:
    both = [perdure.run(everything, engine=engine, arguments={"own": []}) for engine in ("threads", "local")]
    for one, other in zip(*(report.result for report in both), strict=True):
        assert np.array_equal(one, other)
    assert both[0].result[0] == [0]
    assert both[0].digests == both[1].digests
    with pytest.raises(UsageError, match="no job is running"):
        perdure.current()


def test_main_is_called_as_it_is() -> None:
    """A function that no process could be sent: what a debugger stands in is the program's own frame."""
    lock, seen = threading.Lock(), []

    def main(job: perdure.Job) -> None:
        with lock:
            seen.append(job.rank)

    perdure.run(main, engine="threads", ranks=3)
    assert sorted(seen) == [0, 1, 2]


def raises(job: perdure.Job) -> None:
    for superstep in job.supersteps(50):
        if job.rank == 2 and superstep == 5:
            raise ZeroDivisionError("the mesh is too fine")
        job.comm.allreduce(1)


def test_an_exception_in_a_rank_wakes_the_others_and_is_the_end() -> None:
    with pytest.raises(ProgramFailed, match="the mesh is too fine") as caught:
        perdure.run(raises, engine="threads")
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert "raises" in [frame.name for frame in traceback.extract_tb(cause.__traceback__)]
    assert ranks_left() == []


def ends_early(job: perdure.Job) -> None:
    for superstep in job.supersteps(20, commit_every=2):
        if job.rank == 1 and superstep == 5:
            break


def differs(job: perdure.Job) -> None:
    job.replicated("r", np.full(3, float(job.rank)))
    for _ in job.supersteps(3):
        pass


def waits(job: perdure.Job) -> None:
    job.comm.recv(source=(job.rank + 1) % job.size)


@pytest.mark.parametrize(
    ("main", "kind", "words"),
    [
        (ends_early, UsageError, "rank 1 ended its loop at superstep 5 and rank [023] continues at superstep 6"),
        (differs, UsageError, "'r' differs between rank 0 and rank 1"),
        (waits, Deadlock, r"all ranks wait and no message moved for [0-9.]+ s: rank 0 in comm.recv; rank 1 in comm.recv"),
    ],
)
def test_misuse_is_told_as_by_processes(main: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        perdure.run(main, engine="threads", settings=Settings(deadlock_timeout_s=0.5))


def test_faults_are_refused_in_one_line() -> None:
    for options in ({"faults": ["kill:node=1,superstep=3"]}, {"return_after_s": 1.0}):
        with pytest.raises(ConfigError, match="threads survives no fault"):
            perdure.run(raises, engine="threads", **options)
    with pytest.raises(ConfigError, match="threads survives no fault"):
        rehearse(HEAT, engine="threads", arguments={"n": 32, "supersteps": 6})
    with pytest.raises(ConfigError, match="engine must be local or threads, not 'ray'"):
        perdure.run(raises, engine="ray")


def computes(job: perdure.Job) -> None:
    while job.rank:
        pass
    job.comm.recv(source=1)


@pytest.mark.parametrize("main", [waits, computes])
def test_an_interrupt_ends_it(main: Any) -> None:
    """As Ctrl-C in a notebook: the interrupt reaches the thread that called `run`."""

    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while len(ranks_left()) < 4 and time.monotonic() < deadline:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        perdure.run(main, engine="threads")
    thread.join()
    assert ranks_left() == []


def test_the_command_takes_it_and_says_what_it_is_not() -> None:
    command = [sys.executable, "-m", "perdure", "run", HEAT, "--engine", "threads", "--", "--n", "32", "--supersteps", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no state was protected" in done.stdout
    script = [sys.executable, "-m", "perdure", "run", HEAT, "--engine", "threads", "--fault", "kill:node=1,superstep=3"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
