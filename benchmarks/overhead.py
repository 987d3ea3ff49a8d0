"""What does protection cost a job that loses nothing?

    python benchmarks/overhead.py [--mb 64 256] [--commits 7] [--steps 4000] [--pairs 3] [--json]

1. How long a commit holds its ranks up, against a copy (memcpy) of their state to a warm buffer, in the same run: all ranks at once, as
   they commit, and one rank alone.
2. How much longer the common work takes at the automatic interval than with protection off, in turn. Off: no parity, and no commit
   between the first superstep and the end. Both are timed from the first superstep to the last.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics

import machine
from common_work import SIZE

import perdure

HOLD_UP_TARGET = 1.5
UNDISTURBED_TARGET = 1.02
HERE = pathlib.Path(__file__).parent
NEVER = 1_000_000_000


def main() -> None:
    """Runs, prints, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[64, 256], help="MiB of state of each rank")
    parser.add_argument("--commits", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4000, help="of the undisturbed runs; 0: leave them out")
    parser.add_argument("--pairs", type=int, default=3)
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
    times: dict[str, list[float]] = {"off": [], "on": []}
    events: list[dict[str, object]] = []
    for _ in range(pairs):
        off = perdure.run(program, ranks=SIZE, spares=0, parity=0, commit_every=NEVER, arguments=arguments)
        times["off"].append(off.result)
        on = perdure.run(program, ranks=SIZE, spares=0, arguments=arguments, on_event=events.append)
        times["on"].append(on.result)
    commits = [event["superstep"] for event in events if event["event"] == "committed" and not event["end"]]
    ratio = statistics.median(times["on"]) / statistics.median(times["off"])
    verdict = "met" if ratio <= UNDISTURBED_TARGET else "missed"
    print(f"\nundisturbed, {steps} steps of {mb} MiB a rank, {pairs} pairs of runs in turn, {len(commits) / pairs:.1f} commits a run")
    for name, seconds in times.items():
        print(f"  protection {name:3}: {statistics.median(seconds):.2f} s [{min(seconds):.2f}..{max(seconds):.2f}]")
    print(f"  ratio {ratio:.4f} (target: at most {UNDISTURBED_TARGET}: {verdict})")
    return times


if __name__ == "__main__":
    main()
