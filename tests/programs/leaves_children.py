"""Every rank starts processes in sessions of their own, notes their numbers in a folder, and goes on until a file `stop` lies there."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess

import perdure


def main(job: perdure.Job, folder: pathlib.Path, supersteps: int = 100_000) -> int:
    count = job.replicated("count", [0])
    children = [
        subprocess.Popen(["sleep", "1000"], start_new_session=True),
        subprocess.Popen(["sh", "-c", "setsid sleep 1000 & wait"], start_new_session=True),
        subprocess.Popen(["sleep", "1000"], start_new_session=True, env={}),
    ]
    numbers = [child.pid for child in children] + [forked()]
    (folder / f"{job.rank}.{job.generation}").write_text(f"{os.getpid()} {' '.join(map(str, numbers))}\n")
    for _ in job.supersteps(supersteps):
        count[0] += 1
        if job.comm.allreduce(int((folder / "stop").exists())):
            break
    return count[0]


def forked() -> int:
    """A process without a new program."""
    number = os.fork()
    if not number:
        os.setsid()
        while True:
            signal.pause()
    return number
