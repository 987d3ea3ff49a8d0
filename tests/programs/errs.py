"""Rank 1 fails in superstep 3, in one of several ways."""

from __future__ import annotations

import ctypes
import io
import os
import sys

import perdure


class Mute(Exception):
    """One of which there is no text, and which cannot be sent."""

    def __init__(self, lock: object) -> None:
        self.lock = lock

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __reduce__(self) -> str:
        raise RuntimeError("not to be sent")


def main(job: perdure.Job, how: str = "mute") -> None:
    steps = job.replicated("steps", [0])
    for step in job.supersteps(6):
        steps[0] += 1
        if step == 3 and job.rank == 1:
            fail(job, how)
        job.comm.barrier()


def fail(job: perdure.Job, how: str) -> None:
    match how:
        case "mute":
            raise Mute(object())
        case "chain":
            try:
                {}["a key"]
            except KeyError as error:
                raise ValueError("a value") from error
        case "misuse":
            job.private("late", {})
        case "redirected":
            sys.stderr = io.StringIO()
            raise ValueError("a value")
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "hang":
            spin()


def spin() -> None:
    while True:
        pass
