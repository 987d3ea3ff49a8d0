"""How fast are the codec's kernels against memcpy on one thread? Ratios of medians, measured in turns in one run.

    python benchmarks/codec.py [--mib 16] [--data 4] [--json]

A ratio is bytes of source a second, divided by what memcpy does with as many bytes. Where the memory bus is the limit of both, the ratio
of encoding is 2 d / (d + m): memcpy of d chunks reads d and writes d, encoding reads d and writes m.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from perdure.coding import Codec, kernels
from perdure.coding._numpy import NumpyKernel
from perdure.coding.cores import SharedKernel
from perdure.coding.kernels import Kernel

TURNS = 9


def aligned(nbytes: int) -> np.ndarray:
    """Touched memory at a multiple of 4096."""
    room = np.full(nbytes + 4096, 1, np.uint8)
    start = -room.ctypes.data % 4096
    return room[start : start + nbytes]


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def contenders() -> list[Kernel]:
    """What can be measured here: the compiled kernel on one core and on two, and NumPy's."""
    compiled, cores = kernels.compiled_kernel(), sorted(os.sched_getaffinity(0))
    shared = [] if compiled is None or len(cores) < 2 else [SharedKernel(compiled, cores[-1:])]
    return [*([] if compiled is None else [compiled]), *shared, NumpyKernel()]


def measure(chunk: int, d: int) -> list[dict[str, object]]:
    """One row for each kernel, parity count and number of losses (0: encoding)."""
    rng = np.random.default_rng(1)
    state = rng.integers(0, 256, chunk * d, np.uint8)
    copy = aligned(chunk * d)
    sources = [state[t * chunk : (t + 1) * chunk] for t in range(d)]
    outs = [aligned(chunk) for _ in range(3)]
    rows = []
    for kernel in contenders():
        for m in (1, 2, 3):
            codec = Codec(d + m, m, kernel)
            parities = [aligned(chunk) for _ in range(m)]
            codec.encode(sources, parities)
            works: dict[int, Callable[[], object]] = {0: lambda codec=codec, m=m: codec.encode(sources, outs[:m])}
            for lost in range(1, m + 1):
                present = {t: sources[t] for t in range(lost, d)} | {d + p: parities[p] for p in range(lost)}
                wanted = dict(enumerate(outs[:lost]))
                works[lost] = lambda codec=codec, present=present, wanted=wanted: codec.decode(present, wanted)
            times: dict[int, list[float]] = {lost: [] for lost in works}
            memcpy = []
            for _ in range(TURNS):
                memcpy.append(seconds(lambda: np.copyto(copy, state)))
                for lost, work in works.items():
                    times[lost].append(seconds(work))
            base = statistics.median(memcpy)
            for lost, taken in times.items():
                ratio = base / statistics.median(taken)
                rows.append({"kernel": kernel.name, "m": m, "lost": lost, "memcpy_gb_s": chunk * d / base / 1e9, "ratio": ratio})
    return rows


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=16, help="MiB of a chunk")
    options.add_argument("--data", type=int, default=4, help="data chunks")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    rows = measure(given.mib << 20, given.data)
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        what = f"decode {row['lost']} lost" if row["lost"] else "encode"
        bound = f" (on the bus alone {2 * given.data / (given.data + row['m']):.2f})" if not row["lost"] else ""
        print(f"m = {row['m']}  {what:13}  {row['ratio']:.2f} x memcpy of {row['memcpy_gb_s']:.0f} GB/s{bound}  {row['kernel']}")


if __name__ == "__main__":
    main()
