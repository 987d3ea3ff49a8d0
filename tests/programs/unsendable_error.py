"""Raise an error whose text has a lone surrogate, as a file name may have, or 20 million characters."""

import os

import perdure


def main(job: perdure.Job, long: bool = False) -> None:
    a = job.sharded("a", shape=(20, 3), init=1.0)
    for step in job.supersteps(12, commit_every=2):
        a += step
        if step == 5:
            raise ValueError("begin" + "x" * 20_000_000 + "end" if long else "cannot read " + os.fsdecode(b"data\xff.npy"))
