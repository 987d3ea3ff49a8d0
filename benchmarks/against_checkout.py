"""Is this checkout slower than another one? Both run the same small programs, in turn and in random order.

    python benchmarks/against_checkout.py OTHER/src [--kinds array object] [--pairs 15] [--steps 2000] [--nice -18]

1. `array`, `object`, `big`: two ranks commit 8 KiB, a small dict, or 32 MiB at every superstep. The time of a superstep on rank 0.
2. `ping`: 8 bytes go from rank 0 to rank 1 and back.
3. `recovery`: a worker with 64 MiB is killed. The time until rank 0 has done a superstep again.
4. Of the others also the CPU time of all processes of the job for a superstep, which other load on the machine disturbs least.

Only the last two fifths of the supersteps count: before that the next orchestrator's process starts. A line has the medians of both, and
the median of the ratios of the pairs with its 95 % interval (bootstrap). The other checkout runs on this one's Python and libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from typing import Any

import machine
import numpy as np

import perdure

DOUBLES = {"array": 1024, "object": 1, "big": 4 << 20, "ping": 1, "recovery": 8 << 20}
STEPS = {"array": 2000, "object": 2000, "big": 60, "ping": 600, "recovery": 30}
PINGS = 20
HERE = pathlib.Path(__file__).resolve()


def main(job: perdure.Job, kind: str, steps: int, note: str) -> dict[str, float]:
    """The programs. `note`: a file for the time of the kill. Seconds by name, on rank 0."""
    count = DOUBLES[kind]
    state = job.sharded("state", (job.size * count,), init=lambda index: np.zeros(count))
    table = job.private("table", init=lambda: {"count": 1, "list": [1, 2, 3], "text": "text", "dict": {"half": 0.5}})
    mine, theirs = np.ones(1), np.ones(1)
    times, pings, first, cpu = [], [], steps * 3 // 5, 0.0
    if job.rank == 0 and job.generation == 1:
        for pid in _job():
            machine.prioritise(pid)
    for step in job.supersteps(steps, commit_every=1):
        times.append(time.monotonic())
        if step in (first, steps - 1) and job.rank == 0:
            cpu = _cpu_s(_job()) - cpu
        if kind == "recovery" and step == steps // 2 and job.rank == 1 and job.generation == 1:
            pathlib.Path(note).write_text(str(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL)
        state[0] += 1
        if kind == "object":
            table["count"] += 1
        for _ in range(PINGS if kind == "ping" else 0):
            began = time.perf_counter()
            if job.rank == 0:
                job.comm.Send(mine, 1)
            job.comm.Recv(theirs, 1 - job.rank)
            if job.rank == 1:
                job.comm.Send(mine, 0)
            pings.append(time.perf_counter() - began)
    if kind == "recovery":
        return {"kill to next superstep": times[1] - float(pathlib.Path(note).read_text())}
    if kind == "ping":
        return {"there and back, median": float(np.median(pings[first * PINGS :]))}
    took = np.diff(times)[first:]
    return {
        "superstep, 10th percentile": float(np.percentile(took, 10)), "superstep, median": float(np.median(took)),
        "CPU time of a superstep": cpu / (steps - 1 - first),
    }  # fmt: skip


def _job() -> list[int]:
    """The processes of the job: this worker's nursery, its agent, the supervisor, and what that has started."""
    parents = {int(pid): parent for pid in os.listdir("/proc") if pid.isdigit() and (parent := _parent(int(pid)))}
    supervisor = parents[parents[parents[os.getpid()]]]
    found = [supervisor]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _parent(pid: int) -> int:
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def _cpu_s(pids: list[int]) -> float:
    threads = [path for pid in pids for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def _run(source: pathlib.Path, kind: str, steps: int, nice: int) -> dict[str, float]:
    note = HERE.parent / f".against-{os.getpid()}"
    words = [sys.executable, "-m", "perdure", "run", str(HERE), "--ranks", "2", "--spares", "0", "--json"]
    words += ["--", "--kind", kind, "--steps", str(steps), "--note", str(note)]
    environment = os.environ | {"PYTHONPATH": str(source), machine.NICE: str(nice)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    note.unlink(missing_ok=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["result"]
    return result


def _line(name: str, theirs: Any, ours: Any) -> str:
    ratios, dice = ours / theirs, np.random.default_rng(0)
    low, high = np.percentile([np.median(dice.choice(ratios, len(ratios))) for _ in range(4000)], [2.5, 97.5])
    times = f"{np.median(theirs) * 1e6:.1f} us there, {np.median(ours) * 1e6:.1f} us here"
    return f"  {name}: {times}; ratio {np.median(ratios):.3f} [{low:.3f}, {high:.3f}]"


def compare() -> None:
    """Runs, and prints a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=pathlib.Path, help="the folder `src` of the other checkout")
    parser.add_argument("--kinds", nargs="+", choices=DOUBLES, default=list(DOUBLES))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--steps", type=int, help="supersteps; default: by the kind")
    parser.add_argument("--nice", type=int, default=0)
    options = parser.parse_args()
    sources = {"there": options.other.resolve(), "here": HERE.parent.parent / "src"}
    for kind in options.kinds:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
        for _ in range(options.pairs):
            for name in random.sample(list(sources), 2):
                found[name].append(_run(sources[name], kind, options.steps or STEPS[kind], options.nice))
        print(f"{kind}, {options.pairs} pairs", flush=True)
        for what in found["here"][0]:
            print(_line(what, *(np.array([one[what] for one in found[name]]) for name in sources)), flush=True)


if __name__ == "__main__":
    compare()
