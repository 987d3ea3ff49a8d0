"""Return an array of `mb` MiB after a short run."""

import numpy as np

import perdure


def main(job: perdure.Job, mb: int = 64) -> object:
    a = job.sharded("a", shape=(20, 3), init=1.0)
    for step in job.supersteps(4):
        a += step
    return np.ones(mb * 131072)
