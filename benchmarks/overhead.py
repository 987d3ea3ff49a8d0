"""What does protection cost a job that loses nothing?

    python benchmarks/overhead.py [--mb 64 256] [--commits 7] [--steps 40000] [--pairs 3] [--json]

1. How long a commit holds its ranks up, against a copy (memcpy) of their state to a warm buffer, in the same run: all ranks at once, as
   they commit, and one rank alone.
2. How much longer the common work takes at the automatic interval than with protection off. Off: no parity, and no commit between the
   first superstep and the end. Runs take turns, off on on off; both are timed from the first superstep to the last. On a shared machine
   runs of one kind differ by more than what is sought, so the cost is also found inside each protected run: by how much the supersteps
   within a second of a commit took longer than the others of the same run. The first second is slower by itself (memory is touched for
   the first time), and the interval doubles from one superstep on: both weigh less in a longer run, so this one must not be short.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics

import machine
from common_work import SIZE
from rows import HOLD_UP, UNDISTURBED

import perdure

HOLD_UP_TARGET, UNDISTURBED_TARGET = HOLD_UP[0], UNDISTURBED[0]
HERE = pathlib.Path(__file__).parent
NEVER = 1_000_000_000
NEAR_S = 1.0
"""Protection goes on beside the supersteps for less than that (see `protect` of recovery.py)."""


def main() -> None:
    """Runs, prints, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[64, 256], help="MiB of state of each rank")
    parser.add_argument("--commits", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40_000, help="of the undisturbed runs; 0: leave them out")
    parser.add_argument("--pairs", type=int, default=3, help="2 at least")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    summary = {}
    for mb in options.mb:
        loads = [machine.busy_cores()]
        hold_up = _hold_up(mb, options.commits)
        print(f"\n4 ranks of {mb} MiB; {machine.describe(loads)}")
        _print_hold_up(hold_up)
        summary[mb] = {"hold_up": hold_up, "busy_cores": loads}
    if options.steps:
        summary["undisturbed"] = _undisturbed(options.mb[0], options.steps, options.pairs)
    if options.json:
        print(json.dumps(summary))


def _hold_up(mb: int, commits: int) -> dict[str, list[float]]:
    report = perdure.run(f"{HERE / 'holdup_work.py'}:main", ranks=SIZE, spares=0, arguments={"mb": mb, "commits": commits})
    times: dict[str, list[float]] = report.result
    times["commit"] = times["commit"][1:]  # the first touches the second slot's memory
    return times


def _print_hold_up(times: dict[str, list[float]]) -> None:
    commit = statistics.median(times["commit"])
    print(f"a commit holds the slowest rank up for {commit * 1e3:.1f} ms (median of {len(times['commit'])})")
    for name in ("at once", "alone"):
        copy = statistics.median(times[name])
        target = (
            f" (target: at most {HOLD_UP_TARGET}: {'met' if commit <= HOLD_UP_TARGET * copy else 'missed'})" if name == "at once" else ""
        )
        print(f"  a copy of the state, {name}: {copy * 1e3:.1f} ms; ratio {commit / copy:.2f}{target}")


def _undisturbed(mb: int, steps: int, pairs: int) -> dict[str, list[float]]:
    program, arguments = f"{HERE / 'undisturbed_work.py'}:main", {"mb": mb, "steps": steps}
    times: dict[str, list[float]] = {"off": [], "on": [], "inside": []}
    commits = 0
    for number in range(2 * pairs):
        if number % 4 in (0, 3):
            began = perdure.run(program, ranks=SIZE, spares=0, parity=0, commit_every=NEVER, arguments=arguments).result
            times["off"].append(began[-1] - began[0])
        else:
            events: list[dict[str, object]] = []
            began = perdure.run(program, ranks=SIZE, spares=0, arguments=arguments, on_event=events.append).result
            positions = [int(str(event["superstep"])) for event in events if event["event"] == "committed" and not event["end"]]
            times["on"].append(began[-1] - began[0])
            times["inside"].append(_cost_inside(began, positions))
            commits += len(positions)
    ratio = statistics.fmean(times["on"]) / statistics.fmean(times["off"])
    error = ratio * sum(statistics.stdev(times[name]) ** 2 / statistics.fmean(times[name]) ** 2 / pairs for name in ("on", "off")) ** 0.5
    inside = statistics.fmean(times["inside"])
    print(f"\nundisturbed, {steps} steps of {mb} MiB a rank, {pairs} runs of each kind, {commits / pairs:.1f} commits a protected run")
    for name in ("off", "on"):
        print(f"  protection {name:3}: {statistics.fmean(times[name]):.2f} s [{min(times[name]):.2f}..{max(times[name]):.2f}]")
    print(f"  of runs   : ratio {ratio:.4f}, give or take {error:.4f} {_verdict(ratio)}")
    print(f"  inside    : ratio {inside:.4f} [{min(times['inside']):.4f}..{max(times['inside']):.4f}] {_verdict(inside)}")
    return times


def _verdict(ratio: float) -> str:
    return f"(target: at most {UNDISTURBED_TARGET}: {'met' if ratio <= UNDISTURBED_TARGET else 'missed'})"


def _cost_inside(began: list[float], positions: list[int]) -> float:
    """The whole run, divided by what it would have taken if supersteps near a commit took as long as the others. A commit comes before the
    superstep of its position, so the time until that begins belongs to the superstep before."""
    steps = len(began) - 1
    near = set()
    for position in positions:
        step = max(position - 1, 0)
        while step < steps and began[step] < began[min(position, steps)] + NEAR_S:
            near.add(step)
            step += 1
    others = [began[step + 1] - began[step] for step in range(steps) if step not in near]
    return (began[-1] - began[0]) / (steps * statistics.fmean(others))


if __name__ == "__main__":
    main()
