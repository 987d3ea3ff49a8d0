"""`perdure bench comm`: the communicator's figures, beside those of other libraries that are installed, in one run."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

from perdure.errors import ConfigError

TIMEOUT_S = 300
"""Of one library."""


def bench_comm(script: pathlib.Path, ranks: int, python: str, transport: str) -> str:
    """Runs all libraries one after the other and returns the table.

    Args:
        script: `benchmarks/comm.py` of the source tree.
        ranks: how many processes.
        python: an interpreter that has mpi4py or torch; the libraries that it lacks are left out.
        transport: perdure's.

    Raises:
        ConfigError: the script is not there, or perdure itself could not be measured.
    """
    if not script.is_file():
        raise ConfigError(
            f"there is no {script}: the benchmarks are in the source tree; run this in its root, or name the file with --script"
        )
    size = str(ranks)
    own = [sys.executable, "-m", "perdure", "run", str(script), "--ranks", size, "--spares", "0", "--parity", "0", "--transport", transport]
    commands = {"perdure": own}
    folder = pathlib.Path(python).parent
    mpirun, torchrun = _found(folder, "mpirun"), _found(folder, "torchrun")
    if mpirun:
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        commands["mpi4py"] = [mpirun, *root, "--oversubscribe", "-n", size, python, str(script), "mpi4py"]
    if torchrun:
        commands["gloo"] = [torchrun, "--nproc-per-node", size, str(script), "gloo"]
    figures = {name: found for name, command in commands.items() if (found := _figures(command)) is not None}
    if "perdure" not in figures:
        raise ConfigError(f"perdure could not be measured: see what `perdure run {script}` says")
    return table(figures, ranks)


def _found(folder: pathlib.Path, name: str) -> str | None:
    beside = folder / name
    return str(beside) if beside.is_file() else shutil.which(name)


def _figures(command: list[str]) -> dict[str, float] | None:
    """What rank 0 printed; None: the library is not there, or failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    line = next((line for line in done.stdout.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        return None
    found: dict[str, Any] = json.loads(line.removeprefix("FIGURES "))
    return {name: float(value) for name, value in found["us"].items()}


def table(figures: dict[str, dict[str, float]], ranks: int) -> str:
    """Microseconds, and how many times faster than each of the others perdure is."""
    others = [name for name in figures if name != "perdure"]
    head = f"{f'{ranks} ranks, us':26s}" + "".join(f"{name:>12s}" for name in figures) + "".join(f"{'x ' + name:>12s}" for name in others)
    lines = [head]
    for name, own in figures["perdure"].items():
        values = "".join(f"{figures[library][name]:12.1f}" for library in figures)
        ratios = "".join(f"{figures[library][name] / own:12.2f}" for library in others)
        lines.append(f"{name:26s}{values}{ratios}")
    return "\n".join(lines)
