"""Runs the demonstration programs of mpi4py's source distribution under `perdure run`, unedited, and says what became of each.

    python tests/conformance/run_mpi4py_demos.py [--only threads/sendrecv.py ...] [--folder build/conformance]

A program is `ok` if its job ends with status 0, `refused` if its error is of a call that perdure has not by design, and `failed` otherwise.
The status says whether any failed. What needs a compiler, a GPU, or a launcher of its own is not run: see `NOT_RUN`.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
from typing import Final

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from run_mpi4py_suite import fetch

TIMEOUT_S: Final = 120.0
"""Of one program."""
RANKS: Final = {
    "init-fini": 2,
    "mpi-ref-v1": 2,
    "osu_": 2,
    "sequential": 2,
    "threads": 2,
    "spawning": 1,
    "compute-pi/cpi-dpm.py": 1,
    "futures": 2,
}
"""Beginning of a path -> how many ranks; others have 4."""
WORDS: Final = {
    "init-fini/test_0.py": [
        ("threads=true",), ("threads=false",), ("thread_level=single",), ("thread_level=multiple",), ("fast_reduce=false",),
        ("recv_mprobe=false",), ("irecv_bufsz=1024",), ("errors=default",), ("errors=exception",), ("errors=fatal",),
    ],
    "compute-pi/cpi-cco.py": [()],
}  # fmt: skip
"""Arguments; a program is run once with each."""
INPUT: Final = {"compute-pi": b"10\n0\n"}
"""Beginning of a path -> standard input."""
NOT_RUN: Final = {
    "cython/": "a compiler", "embedding/": "a compiler", "libmpi-cffi/": "a compiler", "python-config/": "a compiler",
    "wrap-": "a compiler", "cuda-aware-mpi/": "a GPU", "check-mpiexec/": "another launcher", "test-run/test_run.py": "another launcher",
    "futures/perf_": "the network", "futures/run_crawl.py": "the network",
}  # fmt: skip
"""Beginning of a path -> what it needs."""
BY_DESIGN: Final = {
    "osu_multi_lat.py": ("TypeError: tuple indices must be integers", "its ranks are of type float, which is a TypeError"),
    "spawning/cpi-worker.py": ("this communicator is null", "Comm.Get_parent: a job has no parent"),
    "init-fini/test_0.py errors=default": ("in check_errhandler", "rc.errors: errors are raised whatever the error handler is"),
    "init-fini/test_0.py errors=fatal": ("in check_errhandler", "rc.errors: errors are raised whatever the error handler is"),
}
"""Program with its arguments -> a part of its error, and what is left out, where the error does not name that."""
REFUSED: Final = re.compile(r"perdure does not (?:support|provide) (?:MPI\.)?([\w.]+): (.*)")


def demos(folder: pathlib.Path) -> list[str]:
    """Return the programs' paths."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))


def of(path: str, table: dict[str, int]) -> int:
    """Return the entry whose key the path begins with; 4 if there is none."""
    return next((value for key, value in table.items() if path.startswith(key)), 4)


def run(folder: pathlib.Path, path: str, words: tuple[str, ...]) -> tuple[str, str]:
    """Run one program. Return `ok`, `refused` or `failed`, and the call that is left out or the end of the error."""
    command = [
        sys.executable,
        "-m",
        "perdure",
        "run",
        str(folder / path),
        "--ranks",
        str(of(path, RANKS)),
        "--spares",
        "0",
        "--parity",
        "0",
    ]
    given = next((text for key, text in INPUT.items() if path.startswith(key)), b"")
    environ = {**os.environ, "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(
            [*command, "--", *words],
            cwd=(folder / path).parent,
            capture_output=True,
            input=given,
            timeout=TIMEOUT_S,
            check=False,
            env=environ,
        )
    except subprocess.TimeoutExpired:
        return "failed", f"did not end in {TIMEOUT_S:.0f} s"
    text = (done.stdout + done.stderr).decode(errors="replace")
    error, design = BY_DESIGN.get(" ".join((path, *words)), ("", ""))
    if design and done.returncode != 0 and error in text:
        return "refused", design
    if design:
        return "failed", f"on record as refused, with the error {error!r}, which it did not raise"
    if left_out := REFUSED.search(text):
        return "refused", f"{left_out[1]}: {left_out[2]}"
    lines = [line for line in done.stderr.decode(errors="replace").strip().splitlines() if not line.startswith("perdure: ")]
    return ("ok", "") if done.returncode == 0 else ("failed", lines[-1] if lines else f"status {done.returncode}")


def main() -> int:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/conformance"))
    options = parser.parse_args()
    folder = fetch(options.folder).resolve().parent / "demo"
    counts = {"ok": 0, "refused": 0, "failed": 0, "not run": 0}
    for path in options.only or demos(folder):
        needs = next((why for key, why in NOT_RUN.items() if path.startswith(key)), "")
        for words in WORDS.get(path, [()]):
            outcome, why = ("not run", f"needs {needs}") if needs else run(folder, path, words)
            counts[outcome] += 1
            print(f"{outcome:8s}{' '.join((path, *words)):44s}{why}", flush=True)
    print("together: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
