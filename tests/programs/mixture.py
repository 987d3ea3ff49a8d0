"""Every kind of item and of message in one small program, each superstep depending on all of them."""

import dataclasses

import numpy as np

import perdure
from perdure.comm import MAX, PROC_NULL


@dataclasses.dataclass
class Tally:
    count: int
    history: list


def main(job: perdure.Job, supersteps: int = 40, columns: int = 33, pause: float = 0.0) -> dict:
    comm = job.comm
    field = job.sharded(
        "field", (4 * job.size + 3, columns), halo=1, init=lambda index: np.arange(index[0].start, index[0].stop)[:, None] * 1.0
    )
    strided = job.sharded("strided", (5, 3 * job.size + 1), dtype=np.float32, axis=1, halo=1)
    scale = job.replicated("scale", np.ones(3))
    noise = job.private("noise", np.zeros(7 + job.rank, dtype=np.complex128))
    box = job.private("box", {"steps": 0, "words": []})
    tally = job.private("tally", Tally(0, []))
    settings = job.replicated("settings", {"gain": 0.5})
    table = job.derived("table", lambda: np.linspace(0.0, 1.0, columns))
    up = job.rank - 1 if job.rank else PROC_NULL
    down = job.rank + 1 if job.rank + 1 < job.size else PROC_NULL
    for superstep in job.supersteps(supersteps):
        field[0], field[-1] = field[1], field[-2]
        comm.Sendrecv(field[1].copy(), up, 0, field[-1], down, 0)
        comm.Sendrecv(field[-2].copy(), down, 1, field[0], up, 1)
        strided[:, 0] = strided[:, -1] = superstep
        field[1:-1] = (field[:-2] + field[2:]) * settings["gain"] + table * scale[0]
        strided[:, 1:-1] += strided[:, :-2] * np.float32(0.25) + np.float32(job.rank)
        noise += job.rng.normal(size=noise.size) + 1j * np.random.random(noise.size)
        scale[:] = comm.allreduce(float(abs(noise[0])), MAX) % 1.0
        box["steps"] += 1
        box["words"] = [*box["words"][-3:], f"{superstep} {np.random.randint(100)}"]
        box["array"] = field[1, :5].copy()
        tally.count += superstep
        tally.history = [tally.count, tally]
        settings["gain"] = 0.4 + 0.1 * ((superstep * 7) % 10) / 10
        if pause:
            import time

            time.sleep(pause)
    whole = job.gather("field")
    everything = comm.gather((box["steps"], box["words"], tally.count, noise.sum()))
    return {"sum": None if whole is None else float(whole.sum()), "rest": repr(everything)}
