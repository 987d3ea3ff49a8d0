"""All benchmarks with one command: every result a ratio in one run, as JSON and as a page of plots.

    python benchmarks/suite.py [--quick] [--only codec exchange ...] [--out bench-results] [--peer NAME=COMMAND]

Writes `results.json` and `page.html`, which needs nothing beside it. `--quick` runs everything at a small size: to see that it works, its
numbers say nothing. A peer that is not installed is named with what installs it. A peer that this suite cannot build is measured by a
command of yours, `--peer redset='./time_redset.sh'`: the last line that it prints is a JSON list of rows (see `rows.Row`).

Exit status 1: a benchmark did not run to its end; the others did.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

import machine
import numpy as np
import redset
from page import page
from rows import BENCHMARKS, Benchmark, Row

from perdure.coding import kernels

HERE: Final = pathlib.Path(__file__).parent
TIMEOUT_S: Final = 3600.0
"""Of one benchmark; the longest takes some minutes on two cores."""
REDSET: Final = "clone ECP-VeloC's KVTree, rankstr and redset into a folder, and python benchmarks/redset.py --source FOLDER"


def main() -> int:
    """Runs what was asked for. The exit status."""
    given = _options()
    peers = dict(map(_peer, given.peer))
    chosen = [one for one in BENCHMARKS if not given.only or one.name in given.only]
    results: dict[str, Any] = {"quick": given.quick, "machine": _machine(), "rows": [], "raw": {}, "failed": {}}
    missing = _missing(given.only)
    for one in chosen:
        if one.name not in missing:
            _run(one, results, quick=given.quick)
    for name, command in peers.items():
        _run_peer(name, command, results)
    results["missing"] = missing
    results["finished"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    out = pathlib.Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "page.html").write_text(page(results))
    for name, how in results["missing"].items():
        print(f"{name}: missing: {how}")
    print(f"{len(results['rows'])} ratios: {out / 'results.json'}, {out / 'page.html'}")
    return 1 if results["failed"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: its numbers say nothing")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in BENCHMARKS], default=[])
    parser.add_argument("--out", default="bench-results", help="folder of results.json and page.html")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="prints rows of a peer as JSON")
    return parser.parse_args()


def _peer(text: str) -> tuple[str, str]:
    name, _, command = text.partition("=")
    if not name or not command:
        raise SystemExit(f"--peer {text}: write NAME=COMMAND, a command whose last line is a JSON list of rows")
    return name, command


def _run(one: Benchmark, results: dict[str, Any], *, quick: bool) -> None:
    print(f"\n=== {one.name}: {one.title}", flush=True)
    command = [sys.executable, str(HERE / one.script), "--json", *(one.quick if quick else one.arguments)]
    found = _last_json(one.name, command, results)
    if found is not None:
        results["raw"].setdefault(one.name, []).append(found)
        _take(one.rows(found), results)


def _take(rows: Iterable[Row], results: dict[str, Any]) -> None:
    for row in rows:
        verdict = {None: "", True: ": met", False: ": missed"}[row.met]
        wanted = "" if row.must is None else f" (must be at {'least' if row.more_is_better else 'most'} {row.must:g}{verdict})"
        print(f"ratio {row.ratio:.3g}{wanted}: {row.name}")
        results["rows"].append(asdict(row))


def _run_peer(name: str, command: str, results: dict[str, Any]) -> None:
    print(f"\n=== {name}: {command}", flush=True)
    found = _last_json(name, shlex.split(command), results)
    if found is None:
        return
    try:
        _take([Row(**{"benchmark": name, **row}) for row in found], results)
    except TypeError as error:
        results["failed"][name] = f"its last line is no JSON list of rows: {error}"


def _last_json(name: str, command: list[str], results: dict[str, Any]) -> Any:
    """What a command prints last; None: it failed, which is noted. All that it prints is passed on."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True)
        *lines, last = done.stdout.strip().splitlines() or [""]
        print("\n".join(lines))
        return json.loads(last)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        results["failed"][name] = str(error)
        return None


def _missing(only: list[str]) -> dict[str, str]:
    """Peer -> what installs it."""
    mpi, torch = HERE.parent / ".venv-mpi", HERE.parent / ".venv-torch"
    peers_of = {
        "Open MPI ULFM with mpi4py": ({"recovery", "revoke"}, mpi, "make bench-peers"),
        "torchrun, torchft and Ray": ({"recovery"}, torch, "make bench-peers"),
        "redset": ({"redset"}, redset.LIBRARY, REDSET),
    }
    asked = {one.name for one in BENCHMARKS if not only or one.name in only}
    return {name: how for name, (where, path, how) in peers_of.items() if where & asked and not path.exists()}


def _machine() -> dict[str, Any]:
    compiled = kernels.compiled_kernel()
    return {
        "cores": len(os.sched_getaffinity(0)), "busy_cores": round(machine.busy_cores(1.0), 2), "kernel": platform.release(),
        "python": platform.python_version(), "numpy": np.__version__, "codec": compiled.name if compiled else "NumPy",
        "processor": _processor(),
    }  # fmt: skip


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    raise SystemExit(main())
