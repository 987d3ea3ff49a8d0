"""How long from the SIGKILL of a peer until all survivors are out of an all-reduce?

    python benchmarks/revoke.py [--runs 9] [--bytes 8 1048576] [--mpi-python PATH] [--json]

Perdure (the process of a rank is killed, or its node) and Open MPI's ULFM with mpi4py, in turn. `make bench-peers` installs the latter.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import machine
from contenders import ONE_THREAD, ULFM, ULFM_TUNED
from revoke_work import VICTIM

ROOT = pathlib.Path(__file__).parent.parent
WORK = str(pathlib.Path(__file__).parent / "revoke_work.py")
RANKS = 4
TIMEOUT_S = 60.0
PERDURE, NODE, THEIRS = "perdure, process", "perdure, node", "Open MPI ULFM"


def main() -> None:
    """Runs everybody in turn and prints a table for each size, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--bytes", type=int, nargs="+", default=[8, 1 << 20], help="that are reduced")
    installed = ROOT / ".venv-mpi" / "bin" / "python"
    parser.add_argument("--mpi-python", default=str(installed) if installed.exists() else None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = [PERDURE, NODE, *([THEIRS] if options.mpi_python else [])]
    if not options.mpi_python:
        print("Open MPI ULFM: missing (make bench-peers installs it)")
    summary = {}
    for nbytes in options.bytes:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        loads = []
        for _ in range(options.runs):
            for name in names:
                loads.append(machine.busy_cores(0.2))
                out = measure(name, nbytes, options.mpi_python)
                if out is not None:
                    found[name].append(out)
        print(f"\n{RANKS} ranks, all-reduce of {nbytes} B; {machine.describe(loads)}; {options.runs} runs each, in turn")
        print_table(found, options.runs)
        summary[nbytes] = {"results": found, "ratios": ratios(found), "busy_cores": loads}
    if options.json:
        print(json.dumps(summary))


def print_table(found: dict[str, list[tuple[float, float]]], runs: int) -> None:
    """Medians in ms, and perdure's as a share of ULFM's: at most 1 is wanted."""
    print(f"{'':18}{'first out, ms':>15}{'all out, ms':>13}{'least .. most':>18}   runs")
    for name, times in found.items():
        if not times:
            print(f"{name:18}{'no result':>15}")
            continue
        firsts, lasts = zip(*times, strict=True)
        spread = f"{min(lasts):.1f} .. {max(lasts):.1f}"
        print(f"{name:18}{statistics.median(firsts):15.1f}{statistics.median(lasts):13.1f}{spread:>18}   {len(times)} of {runs}")
    for name, ratio in ratios(found).items():
        print(f"{name} / {THEIRS}: {ratio:.2f} (target: at most 1.00: {'met' if ratio <= 1 else 'missed'})")


def ratios(found: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """Of the medians of the last survivor's times, perdure's to ULFM's."""
    theirs = found.get(THEIRS)
    if not theirs:
        return {}
    median = {name: statistics.median(last for _, last in times) for name, times in found.items() if times}
    return {name: median[name] / median[THEIRS] for name in (PERDURE, NODE) if name in median}


def measure(name: str, nbytes: int, mpi_python: str | None) -> tuple[float, float] | None:
    """One job: (the first survivor's, the last survivor's) ms from the kill. None: not all were out in time."""
    with tempfile.TemporaryDirectory(prefix="revoke-") as folder:
        if name == THEIRS:
            assert mpi_python is not None
            mpirun = str(pathlib.Path(mpi_python).parent / "mpirun")
            root = ["--allow-run-as-root"] if os.getuid() == 0 else []
            command = [mpirun, *root, *ULFM, *ULFM_TUNED, "-n", str(RANKS), mpi_python, WORK, folder, str(nbytes)]
        else:
            command = [
                sys.executable, "-m", "perdure", "run", WORK, "--ranks", str(RANKS), "--",
                "--folder", folder, "--nbytes", str(nbytes), "--kill", "node" if name == NODE else "process",
            ]  # fmt: skip
        child = subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
        times = {int(path.name.removeprefix("rank-")): path.read_text() for path in pathlib.Path(folder).glob("rank-*")}
    if set(times) != set(range(RANKS)) or not all(times.values()):
        return None
    killed = float(times.pop(VICTIM))
    after = [(float(text) - killed) * 1e3 for text in times.values()]
    return min(after), max(after)


if __name__ == "__main__":
    main()
