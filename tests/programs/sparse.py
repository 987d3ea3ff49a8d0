"""A program of which most stays as it is from commit to commit; a wrong byte anywhere changes what comes after."""

import numpy as np

import perdure

BLOCK = 32_768
"""Doubles in a block that is compared."""


def main(job: perdure.Job, supersteps: int = 40, pause: float = 0.0) -> list:
    comm = job.comm
    table = job.sharded("table", (job.size * 40 * BLOCK + 5,), init=lambda index: np.arange(index[0].start, index[0].stop, dtype=float))
    map_ = job.replicated("map", np.arange(3.0 * BLOCK))
    still = job.private("still", np.full(BLOCK + 11 * job.rank, job.rank, dtype=np.int64))
    log = job.private("log", {"words": []})
    for superstep in job.supersteps(supersteps):
        total = comm.allreduce(float(table[:: BLOCK // 2].sum() + still.sum() + map_[0]))
        at = (superstep * 12_345 + int(total) % 1_000) % (len(table) - 100)
        if superstep % 2:
            table[at : at + 100] += total % 7 + job.rank
        if superstep % 5 == 0:
            map_[superstep * 17] += total % 3
        if superstep == 20:
            still += 1
        log["words"] = [*log["words"][-superstep % 6 :], f"{total % 1000:.0f}"]
        if pause:
            import time

            time.sleep(pause)
    return comm.gather((float(table.sum()), int(still.sum()), float(map_.sum()), log["words"]))
