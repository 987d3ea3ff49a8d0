"""Every rank prints lines to one stream in each superstep; the ranks exchange a sum, so none runs ahead of the others."""

from __future__ import annotations

import sys

import perdure


def main(job: perdure.Job, supersteps: int = 40, stream: str = "stdout", width: int = 40, quiet_until: int = 0) -> float:
    total = job.replicated("total", [0.0])
    for superstep in job.supersteps(supersteps):
        if superstep >= quiet_until:
            print(f"<rank {job.rank} line {superstep} {'x' * width}>", file=getattr(sys, stream))
        total[0] += job.comm.allreduce(float(superstep))
    return total[0]
