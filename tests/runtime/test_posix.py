"""Tests of what the runtime asks Linux about processes."""

from __future__ import annotations

import os
import subprocess
import sys

from perdure.runtime.posix import descendants, has_ended

FIRST_THREAD_ENDS = """
import ctypes, os, subprocess, sys, threading
child = subprocess.Popen(["sleep", "1000"])
threading.Thread(target=sys.stdin.read).start()
print(child.pid, flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""

SLOW_FIRST_LOOK = """
import subprocess, sys, time
from perdure.runtime import posix
look, looks = posix.descendants, []
def slow(*ancestors):
    found = look(*ancestors)
    looks.append(found)
    if len(looks) == 1:  # a parent ended between the looks at its child and at itself
        time.sleep(2 * posix.KILL_PATIENCE_S)
        return {pid: depth for pid, depth in found.items() if depth == 1}
    return found
posix.descendants, posix.KILL_PATIENCE_S = slow, 0.5
posix.become_subreaper()
parent = subprocess.Popen(["sh", "-c", "setsid sleep 60 >/dev/null & echo $!; wait"], stdout=subprocess.PIPE, text=True)
child = int(parent.stdout.readline())
posix.end_descendants()
print(child in looks[0], sorted(look(posix.os.getpid())), posix.has_ended(child))
"""


def test_a_process_that_one_slow_look_has_missed_is_killed_as_well() -> None:
    """On a busy machine a look at /proc takes as long as killed processes have to end."""
    done = subprocess.run([sys.executable, "-c", SLOW_FIRST_LOOK], capture_output=True, text=True, check=True)
    assert done.stdout == "True [] True\n"


def test_children_of_a_process_whose_main_thread_has_ended_are_found() -> None:
    """A worker that is being killed looks like this: its main thread has ended, others have not, and its children are not orphans yet."""
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            while not has_ended(process.pid):
                assert process.poll() is None
            below = descendants(os.getpid())
            assert below[child] == 2
            assert process.pid not in below, "it has ended, though not all its threads have"
        finally:
            subprocess.run(["kill", str(child)], check=True)
            process.kill()
