"""A commit and the rebuild of one rank beside SCR's redset (XOR, Reed-Solomon) in shared memory: same ranks, same bytes, in one run.

    python benchmarks/redset.py --source FOLDER [--mib 64] [--ranks 4] [--parity 1 2] [--turns 5] [--json]

FOLDER holds the sources of ECP-VeloC's `KVTree`, `rankstr` and `redset`, as `git clone` makes them; they are built once, into .venv-mpi
(`make bench-peers`), with its mpicc, cmake and a C compiler. What is compared: redset encodes files in /dev/shm; a commit of ours encodes
snapshots in memory files, reading those of other processes in place (`mapped`) or through sockets (`links`). Both without the copy of
the live state. A rebuild ends when the lost rank's bytes are whole, the parity it held included.
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
from typing import Any, Final

import contenders
import exchange

ENVIRONMENT: Final = pathlib.Path(__file__).parents[1] / ".venv-mpi"
LIBRARY: Final = ENVIRONMENT / "redset" / "lib" / "libredset.so"
PARTS: Final = ("KVTree", "rankstr", "redset")
TIMEOUT_S: Final = 600.0


def build(source: pathlib.Path) -> None:
    """Builds the three, each on the ones before it. What a build says is shown when it fails."""
    prefix = LIBRARY.parents[1]
    options = [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_PREFIX_PATH={prefix}", f"-DMPI_C_COMPILER={ENVIRONMENT / 'bin' / 'mpicc'}"]
    options += ["-DCMAKE_BUILD_TYPE=Release", "-DENABLE_TESTS=OFF"]
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            print(f"building {part}", file=sys.stderr, flush=True)
            for command in (
                ["cmake", "-S", str(source / part), "-B", f"{folder}/{part}", *options],
                ["cmake", "--build", f"{folder}/{part}", "--parallel"],
                ["cmake", "--install", f"{folder}/{part}"],
            ):
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                if done.returncode:
                    sys.exit(f"{done.stdout}\n{' '.join(command)} failed")


def redset(ranks: int, m: int, mib: int, turns: int) -> dict[str, float]:
    """Medians of `redset_apply` and `redset_recover` in seconds."""
    root = ["--allow-run-as-root"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="redset-", dir="/dev/shm") as folder:
        work = [str(pathlib.Path(__file__).with_name("redset_work.py")), str(LIBRARY), folder, str(mib), str(m), str(turns)]
        mpirun = [str(ENVIRONMENT / "bin" / "mpirun"), *root, "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", *contenders.ULFM_TUNED]
        command = [*mpirun, "-n", str(ranks), str(ENVIRONMENT / "bin" / "python"), *work]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        sys.exit(f"redset did not measure: {done.stdout[-500:]}{done.stderr[-500:]}")
    return {name: statistics.median(times) for name, times in json.loads(done.stdout.splitlines()[-1]).items()}


def compare(ranks: int, m: int, mib: int, turns: int) -> dict[str, Any]:
    """One code: how many times faster ours is."""
    theirs = redset(ranks, m, mib, turns)
    ways = {}
    for maps_peers in (False, True):
        ours = exchange.measure(ranks, m, mib << 20, turns, maps_peers=maps_peers, over="unix")
        gb = ours["gb_s"]
        assert isinstance(gb, dict)
        seconds = {name: (mib << 20) / 1e9 / gb[name] for name in ("commit", "rebuild")}
        ways[str(ours["way"])] = {
            "commit_s": seconds["commit"], "rebuild_s": seconds["rebuild"],
            "commit_faster": theirs["apply"] / seconds["commit"], "rebuild_faster": theirs["recover"] / seconds["rebuild"],
        }  # fmt: skip
    return {"ranks": ranks, "mib": mib, "parity": m, "redset": theirs, **ways}


def main() -> None:
    """Prints a line for each code and way."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--source", type=pathlib.Path, help="where KVTree, rankstr and redset lie; not needed once they are built")
    options.add_argument("--mib", type=int, default=64, help="MiB of state a rank")
    options.add_argument("--ranks", type=int, default=4)
    options.add_argument("--parity", type=int, nargs="+", default=[1, 2])
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    if not (ENVIRONMENT / "bin" / "mpirun").exists():
        sys.exit("there is no Open MPI: make bench-peers")
    if not LIBRARY.exists():
        if given.source is None or not all((given.source / part / "CMakeLists.txt").exists() for part in PARTS):
            sys.exit(f"redset is not built: name the folder that holds the sources of {', '.join(PARTS)} with --source")
        build(given.source)
    rows = [compare(given.ranks, m, given.mib, given.turns) for m in given.parity]
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        theirs = row["redset"]
        print(f"{row['ranks']} x {row['mib']} MiB, m = {row['parity']}")
        print(f"    redset  commit {theirs['apply']:.3f} s; rebuild {theirs['recover']:.3f} s")
        for way in ("mapped", "links"):
            ours = row[way]
            print(f"    {way:6}  commit {ours['commit_s']:.3f} s, {ours['commit_faster']:.1f} x as fast;", end=" ")
            print(f"rebuild {ours['rebuild_s']:.3f} s, {ours['rebuild_faster']:.1f} x")


if __name__ == "__main__":
    main()
