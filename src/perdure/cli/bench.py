"""`perdure bench comm`: the communicator's figures, beside those of other libraries that are installed, in one run."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from perdure.cli.bench_plot import check_plot, plot
from perdure.errors import ConfigError

TIMEOUT_S = 300
"""Seconds after which the benchmark of one library is stopped."""
WAITING = "CPU of a waiting rank, %"
ENVIRONMENTS = (".venv-mpi", ".venv-torch")
"""The folders of the source tree into which `make bench-peers` installs the libraries."""


def bench_comm(script: pathlib.Path, ranks: int, pythons: Sequence[str], transport: str, picture: pathlib.Path | None = None) -> str:
    """Runs all libraries one after the other and returns the table.

    Args:
        script: `benchmarks/comm.py` of the source tree.
        ranks: how many processes.
        pythons: interpreters that have mpi4py or torch; empty: this one, and those of `make bench-peers`. What none has is left out.
        transport: perdure's.
        picture: where the figures go, as PNG, or as SVG if the name ends so.

    Raises:
        ConfigError: the script is not there, the picture cannot be written, or perdure itself could not be measured.
    """
    if not script.is_file():
        raise ConfigError(
            f"the benchmark {script} does not exist: run this command in the root of the source tree, or name the file with --script"
        )
    size = str(ranks)
    own = [sys.executable, "-m", "perdure", "run", str(script), "--ranks", size, "--spares", "0", "--parity", "0", "--transport", transport]
    commands = {"perdure": own}
    if picture is not None:
        check_plot(picture)
    pythons = pythons or [sys.executable, *_of_bench_peers(script)]
    mpirun, python = _found(pythons, "mpirun")
    if mpirun:
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        commands["mpi4py"] = [mpirun, *root, "--oversubscribe", "-n", size, python, str(script), "mpi4py"]
    torchrun, _ = _found(pythons, "torchrun")
    if torchrun:
        commands["gloo"] = [torchrun, "--nproc-per-node", size, str(script), "gloo"]
    figures = {name: found for name, command in commands.items() if (found := _figures(command)) is not None}
    if "perdure" not in figures:
        raise ConfigError(f"the benchmark failed for perdure: see the output of `perdure run {script}`")
    if picture is not None:
        plot(figures, ranks, picture)
    return table(figures, ranks)


def _of_bench_peers(script: pathlib.Path) -> list[str]:
    pythons = [script.absolute().parent.parent / environment / "bin" / "python" for environment in ENVIRONMENTS]
    return [str(python) for python in pythons if python.is_file()]


def _found(pythons: Sequence[str], name: str) -> tuple[str | None, str]:
    """The launcher, and the interpreter that it lies beside; or the one of the system, with the first of them."""
    for python in pythons:
        beside = pathlib.Path(python).parent / name
        if beside.is_file():
            return str(beside), python
    return shutil.which(name), pythons[0]


def _figures(command: list[str]) -> dict[str, float] | None:
    """Return the output of rank 0; None: the library is missing, or failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = next((line for line in done.stdout.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        return None
    found: dict[str, Any] = json.loads(line.removeprefix("FIGURES "))
    return {name: float(value) for name, value in found["us"].items()} | {WAITING: float(found["waiting_cpu"])}


def table(figures: dict[str, dict[str, float]], ranks: int) -> str:
    """Microseconds, and how many times faster than each of the others perdure is."""
    others = [name for name in figures if name != "perdure"]
    head = f"{f'{ranks} ranks, us':26s}" + "".join(f"{name:>12s}" for name in figures) + "".join(f"{'x ' + name:>12s}" for name in others)
    lines = [head]
    for name, own in figures["perdure"].items():
        values = "".join(f"{figures[library][name]:12.1f}" for library in figures)
        ratios = "" if name == WAITING else "".join(f"{figures[library][name] / own:12.2f}" for library in others)
        lines.append(f"{name:26s}{values}{ratios}")
    return "\n".join(lines)
