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
