"""The end of a node is known at once, however long the kernel takes to free its memory, and nothing of it is left."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from perdure.engines.process_groups import ProcessGroup
from perdure.runtime.posix import ending
from perdure.streams.pairs import pair

NODE = """
import os, signal, sys
pulse = int(sys.argv[1])
if not os.fork():
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    signal.pause()
os.close(pulse)
signal.pause()
"""
"""A process without the pulse and a child that keeps it, as agent and nursery do."""


def node() -> ProcessGroup:
    read, write = os.pipe()
    command = [sys.executable, "-c", NODE, str(write)]
    child = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.PIPE, start_new_session=True)
    os.close(write)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.stdout.close()
    return ProcessGroup(child, read, pair()[0])


def ends(process: ProcessGroup) -> bool:
    return bool(select.select([process], [], [], 10)[0])


@pytest.mark.parametrize("send", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_that_is_killed_says_how_it_ended(send: signal.Signals) -> None:
    process = node()
    assert not select.select([process], [], [], 0)[0]
    os.killpg(process.pid, send)
    assert ends(process)
    assert process.how_it_ended() in (f"killed by {send.name}", "killed by SIGKILL")
    process.reap()
    assert not os.path.exists(f"/proc/{process.pid}"), "a zombie is left"


def test_the_end_of_the_first_process_is_enough() -> None:
    process = node()
    os.kill(process.pid, signal.SIGKILL)
    assert ends(process)
    assert process.how_it_ended() == "killed by SIGKILL"
    process.kill()
    process.reap()


def test_a_node_without_its_pulse_is_ended() -> None:
    """An agent whose nursery is gone cannot start a worker any more."""
    process = node()
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
        (child,) = children.read().split()
    os.kill(int(child), signal.SIGKILL)
    assert ends(process)
    assert process.how_it_ended() == "killed by SIGKILL"
    process.reap()


def test_a_living_process_is_not_ending_and_a_reaped_one_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"], stdin=subprocess.PIPE)
    assert ending(child.pid) is None
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    status = ending(child.pid)
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == 3
    assert child.wait() == 3
    assert ending(child.pid) is None
