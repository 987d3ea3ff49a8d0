"""What a program must not do is told in one line that says what to do, and nothing is left running."""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import perdure
from perdure import MPI, ConfigError, Deadlock, ProgramCrashed, ProgramFailed, Settings, UsageError


def run(main: Callable[..., Any] | str, **options: Any) -> perdure.Report:
    return perdure.run(main, **{"ranks": 2, "spares": 0, "commit_every": 2, **options})


def one_name_twice(job: perdure.Job) -> None:
    job.private("a", np.zeros(3))
    job.private("a", np.zeros(3))


def shared_memory(job: perdure.Job) -> None:
    whole = np.zeros(6)
    job.private("a", whole[:4])
    job.private("b", whole[2:])


def different_items(job: perdure.Job) -> None:
    job.private("a" if job.rank else "b", np.zeros(3))
    for _ in job.supersteps(3):
        pass


def different_replicated(job: perdure.Job) -> None:
    job.replicated("r", np.full(3, float(job.rank)))
    for _ in job.supersteps(3):
        pass


def different_items_in_different_groups(job: perdure.Job) -> None:
    job.private("a" if job.rank < 2 else "b", np.zeros(3))
    for _ in job.supersteps(3):
        pass


def different_replicated_in_different_groups(job: perdure.Job) -> None:
    job.replicated("r", np.full(3, float(job.rank < 2)))
    for _ in job.supersteps(3):
        pass


def declared_late(job: perdure.Job) -> None:
    for _ in job.supersteps(3):
        job.private("a", np.zeros(3))


def two_loops(job: perdure.Job) -> None:
    for _ in job.supersteps(3):
        pass
    for _ in job.supersteps(3):
        pass


def one_ends_early(job: perdure.Job) -> None:
    for superstep in job.supersteps(20):
        if job.rank == 1 and superstep == 5:
            break


def one_group_ends_early(job: perdure.Job) -> None:
    job.private("a", np.zeros(3))
    for superstep in job.supersteps(40):
        if superstep == 5 and job.rank == 1:
            break


def one_ends_early_and_the_other_waits_for_it(job: perdure.Job) -> None:
    for superstep in job.supersteps(20):
        if job.rank == 1 and superstep == 5:
            break
        job.comm.allreduce(1)


def rebound(job: perdure.Job) -> None:
    plate = job.private("plate", np.zeros(3))
    for _ in job.supersteps(10):
        plate = plate + 1


def bare_number(job: perdure.Job) -> None:
    job.private("a", 3)


def read_only(job: perdure.Job) -> None:
    array = np.zeros(3)
    array.flags.writeable = False
    job.private("a", array)


def objects(job: perdure.Job) -> None:
    job.private("a", np.array([{}, None]))


def recover(job: perdure.Job) -> None:
    job.sharded("a", (4,), recover=lambda *_: None)


def unpicklable(job: perdure.Job) -> None:
    job.private("a", {"f": lambda: 0})
    for _ in job.supersteps(3):
        pass


def communicates_in_make(job: perdure.Job) -> None:
    job.derived("table", lambda: job.comm.allreduce(1))


def resized(job: perdure.Job) -> None:
    array = job.private("a", np.zeros(30))
    for superstep in job.supersteps(9):
        if superstep == 5 and job.rank:
            array.resize(40, refcheck=False)


def too_large(job: perdure.Job) -> None:
    job.sharded("a", (1 << 50,))


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (one_name_twice, "'a' is declared twice"),
        (shared_memory, "'a' and 'b' share memory"),
        (different_items, "declares the item '[ab]' but rank"),
        (different_replicated, "replicated item 'r' differs between rank 0 and rank 1"),
        (declared_late, "'a' is declared after the supersteps loop began"),
        (two_loops, "one supersteps loop"),
        (one_ends_early, "rank 1 ended its loop at superstep 5 and rank 0 continues"),
        (rebound, r"'plate' was the item 'plate'.*write plate\[...\]"),
        (bare_number, r"'a' is a int.*np.array\(3\)"),
        (read_only, "read-only"),
        (objects, "Python objects"),
        (recover, "recover= is not supported yet"),
        (unpicklable, "a lambda or a local function"),
        (communicates_in_make, "must not communicate"),
        (resized, r"'a' was declared with the shape \(30,\) but has \(40,\) now: .*into an object"),
    ],
)
def test_misuse_while_running(main: Callable[..., Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(main)


@pytest.mark.parametrize("faults", [[], ["orchestrator:superstep=5"]], ids=["undisturbed", "a new orchestrator"])
def test_groups_that_end_apart_and_have_prepared_their_labels(faults: list[str]) -> None:
    """Without parity each rank is a group, and its label is prepared whatever the others do."""
    with pytest.raises(UsageError, match=r"rank 1 ended its loop at superstep 5 and rank 0 continues at superstep 6"):
        run(one_group_ends_early, parity=0, faults=faults)


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (different_items_in_different_groups, "rank 0 declares the item 'a' but rank 2 does not"),
        (different_replicated_in_different_groups, "replicated item 'r' differs between rank 0 and rank 2"),
    ],
)
def test_ranks_of_different_parity_groups_are_compared_too(main: Callable[..., Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(main, ranks=4, group_size=2)


def test_a_rank_that_waits_for_one_that_has_ended_is_a_deadlock() -> None:
    with pytest.raises(Deadlock, match=r"rank 0 in comm\..*rank 1 in the end of main"):
        run(one_ends_early_and_the_other_waits_for_it, settings=Settings(deadlock_timeout_s=1.0))


@pytest.mark.parametrize("engine", ["local", "threads"])
@pytest.mark.parametrize("count", [1, 100_000])
@pytest.mark.parametrize("call", ["Reduce", "Iallreduce"])
def test_a_rank_that_is_in_the_function_of_an_operation_does_not_wait(engine: str, count: int, call: str) -> None:
    settings = Settings(deadlock_timeout_s=1.0)
    report = perdure.run(reduces_slowly, ranks=2, spares=0, engine=engine, settings=settings, arguments={"count": count, "call": call})
    assert report.result == 3.0


def test_a_state_that_does_not_fit_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(ConfigError, match=r"need .* GB .* but only .* GB are available"):
        run(too_large)


def reduces_slowly(job: perdure.Job, count: int, call: str) -> float:
    """The function that combines computes for longer than a deadlock takes to be found."""

    def add(lower: Any, higher: Any, datatype: Any) -> None:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            pass
        np.frombuffer(higher)[:] += np.frombuffer(lower)

    total, op = np.zeros(count), MPI.Op.Create(add, commute=True)
    for _ in job.supersteps(1):
        if call == "Reduce":
            job.comm.Reduce(np.full(count, job.rank + 1.0), total, op)
        else:
            job.comm.Iallreduce(np.full(count, job.rank + 1.0), total, op).Wait()
        job.comm.Barrier()
    return float(total[-1])


def raises_on_two(job: perdure.Job) -> None:
    for superstep in job.supersteps(10):
        job.comm.barrier()
        if superstep == 4 and job.rank == 1:
            raise ValueError("the physics is wrong")


def test_an_exception_in_main_ends_the_job_with_the_first_traceback_once() -> None:
    with pytest.raises(ProgramFailed) as caught:
        run(raises_on_two)
    text = str(caught.value)
    assert text.count("Traceback") == 1
    assert "raises_on_two" in text
    assert text.endswith("ValueError: the physics is wrong")
    assert "perdure/job.py" not in text


def always_crashes(job: perdure.Job) -> None:
    for superstep in job.supersteps(10):
        if superstep == 3 and job.rank == 0:
            os._exit(5)


def test_a_rank_that_crashes_again_and_again_ends_the_job() -> None:
    """The commit of superstep 2 is still under way when it crashes, so whether it is the base depends on who is faster."""
    with pytest.raises(ProgramCrashed, match=r"rank 0 crashed 3 times after superstep [02]: exited with status 5"):
        run(always_crashes)


def uses_up_descriptors(job: perdure.Job) -> None:
    """Rank 1 has its own connection to rank 0 already; that of rank 0 to it comes after."""
    job.private("a", np.zeros(3))
    for _ in job.supersteps(1):
        if job.rank == 0:
            assert (job.comm.recv(source=1), job.comm.recv(source=1)) == ("first", "all are used up")
            job.comm.send("second", 1)
        else:
            job.comm.send("first", 0)
            used = max(map(int, os.listdir("/proc/self/fd")))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))
            with contextlib.suppress(OSError):
                while True:
                    os.dup(0)
            job.comm.send("all are used up", 0)
            assert job.comm.recv(source=0) == "second"


def test_a_rank_that_nobody_can_connect_to_any_more_ends(capfd: pytest.CaptureFixture[str]) -> None:
    """Otherwise the others would wait for it, and the job would end as a Deadlock that says nothing of descriptors."""
    with pytest.raises((ProgramCrashed, ProgramFailed), match=r"rank 1 crashed 3 times .*: exited with status 70|Too many open files"):
        run(uses_up_descriptors)
    said = capfd.readouterr().err
    assert "rank 1, generation 1: no more connections can be accepted: Too many open files; see `ulimit -n`" in said
    assert said.count("Traceback") == said.count("perdure: rank"), "of the runtime itself, not of main"


def swallows(job: perdure.Job) -> int:
    counter = job.private("counter", {"n": 0})
    for _ in job.supersteps(30):
        try:
            job.comm.barrier()
            counter["n"] += 1
        except Exception:
            counter["n"] += 1000
    return counter["n"]


def test_except_exception_does_not_eat_the_revocation() -> None:
    assert run(swallows, spares=1, faults=["crash:rank=1,superstep=15"]).result == 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def main(job:\n", "bad.py, line 1"),
        ("import there_is_no_such_module\ndef main(job): pass\n", "cannot be imported: ModuleNotFoundError"),
        ("def main(job, n): pass\n", "missing a required argument: 'n'"),
        ("def main(): pass\n", "is not named job"),
    ],
)
def test_a_program_that_cannot_be_loaded(tmp_path: pathlib.Path, text: str, words: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        run(str(path))


def test_a_script_without_main_runs_as_it_is(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(
        "import perdure, numpy as np\n"
        "job = perdure.current()\n"
        "a = job.private('a', np.zeros(3))\n"
        "for s in job.supersteps(10):\n    a += job.comm.allreduce(s)\n"
    )
    quiet = run(str(path))
    lossy = run(str(path), spares=1, faults=["kill:node=1,superstep=5"])
    assert quiet.digests == lossy.digests
    assert lossy.losses == 1


def test_no_job_here() -> None:
    with pytest.raises(UsageError, match="perdure run"):
        perdure.current()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ranks": 0}, "--ranks"),
        ({"ranks_per_node": 0}, "--ranks-per-node"),
        ({"spares": -1}, "--spares"),
        ({"parity": 4}, "--parity"),
        ({"ranks": 3, "parity": 3}, "--parity 3 needs parity groups of more than 3"),
        ({"ranks": 4, "group_size": 2, "parity": 2}, "--parity 2"),
        ({"group_size": 0}, "--parity"),
        ({"commit_every": 0}, "--commit-every"),
        ({"faults": ["kill:node=7,superstep=1"]}, "node 7 does not exist"),
        ({"faults": ["boom"]}, "unknown fault 'boom'"),
        ({"transport": "pigeon"}, "shared, unix or tcp"),
    ],
)
def test_what_the_operator_cannot_have(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(rebound, **options)
