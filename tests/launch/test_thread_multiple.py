"""Threads of a rank may call the communicator at any time (`MPI.THREAD_MULTIPLE`), and are told from a deadlock."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

PROGRAM = str(pathlib.Path(__file__).parents[1] / "programs" / "threads.py")
TRANSPORTS = ("shared", "unix", "tcp")


def run(way: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one way of the program on two ranks."""
    command = [sys.executable, "-m", "perdure", "run", PROGRAM, "--ranks", "2", "--spares", "0", "--parity", "0", *options, "--", way]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def printed(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("result  ")[0].splitlines()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_may_be_handed_over_to_another_thread(transport: str) -> None:
    assert printed(run("handed_over", "--transport", transport)) == ["2", "2"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_threads_call_at_the_same_time(transport: str) -> None:
    assert printed(run("pairs", "--transport", transport)) == [str([sum(range(200))] * 4)] * 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_message_is_taken_by_one_thread(transport: str) -> None:
    assert printed(run("shared", "--transport", transport)) == ["True", "True"]


def test_on_the_engine_threads_too() -> None:
    for way in ("handed_over", "pairs", "shared"):
        assert len(printed(run(way, "--engine", "threads"))) == 2


@pytest.mark.parametrize("options", [(), ("--engine", "threads")], ids=["processes", "threads"])
def test_a_thread_that_waits_for_another_thread_of_its_rank_is_no_deadlock(options: tuple[str, ...]) -> None:
    assert printed(run("own_thread", "--setting", "deadlock_timeout_s=1", *options)) == ["('mine', 'theirs')"] * 2


@pytest.mark.parametrize("options", [(), ("--engine", "threads")], ids=["processes", "threads"])
def test_threads_that_all_wait_are_a_deadlock(options: tuple[str, ...]) -> None:
    """A thread that waits for another one without a limit, or for work, sends nothing by itself."""
    done = run("stuck", "--setting", "deadlock_timeout_s=1", *options)
    assert done.returncode == 1
    assert re.search(r"no message moved for [\d.]+ s: rank 0 in comm\.recv; rank 1 in comm\.recv", done.stderr)
