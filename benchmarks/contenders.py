"""Who takes part in `recovery.py`, and how each is started: as its users would, with the settings that suit it best."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import machine
from common_work import SIZE

HERE: Final = pathlib.Path(__file__).parent
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TIMEOUT_S: Final = 150.0
ULFM: Final = ("--with-ft", "ulfm", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none")
ULFM_TUNED: Final = ("--mca", "pml", "ob1", "--mca", "btl", "self,sm,tcp")
"""Without them MPI_Init tries every network there is, for a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to survive a loss. `python` runs it; None: it is not installed."""

    name: str
    python: str | None
    program: str
    mode: str = ""
    stores_on_disk: bool = False
    has_replicas: bool = False
    """All ranks have the same state, and nothing else is protected."""

    def command(self, folder: str, mb: int, store: str) -> list[str]:
        """What to start."""
        assert self.python is not None
        program = str(HERE / self.program)
        tools = pathlib.Path(self.python).parent
        match self.name.partition(",")[0]:
            case "perdure" | "torchft" | "Ray actors":
                return [self.python, program, folder, str(mb)]
            case "ULFM":
                root = ["--allow-run-as-root"] if os.getuid() == 0 else []
                processes = SIZE + (self.mode == "spare")
                mpirun = [str(tools / "mpirun"), *root, *ULFM, *ULFM_TUNED, "-n", str(processes)]
                return [*mpirun, self.python, program, folder, str(mb), self.mode]
            case _:
                torchrun = [str(tools / "torchrun"), "--standalone", "--nproc-per-node", str(SIZE), "--max-restarts", "3"]
                return [*torchrun, "--monitor-interval", "0.1", program, folder, str(mb), store, self.mode]

    def environment(self, folder: str) -> dict[str, str]:
        """A store of its own for each attempt: with torchrun's shared one a restart meets the addresses of the dead. What any of
        them leaves in the folder for temporary files goes with `folder`."""
        return {**os.environ, **ONE_THREAD, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "TMPDIR": folder}


def contenders(mpi_python: str | None, torch_python: str | None) -> tuple[Contender, ...]:
    """All of them; the first is perdure. `torch_python`: of an environment that may lack torchft or Ray."""
    torchft_python, ray_python = (_with(torch_python, tool) for tool in ("torchft_lighthouse", "ray"))
    return (
        Contender(name="perdure", python=sys.executable, program="perdure_work.py"),
        Contender(name="ULFM, spawn", python=mpi_python, program="ulfm_work.py", mode="spawn"),
        Contender(name="ULFM, idle spare", python=mpi_python, program="ulfm_work.py", mode="spare"),
        Contender(name="torchrun", python=torch_python, program="torchrun_work.py", mode="bytes"),
        Contender(name="torchrun, DCP in memory", python=torch_python, program="torchrun_work.py", mode="dcp"),
        Contender(name="torchrun, DCP on disk", python=torch_python, program="torchrun_work.py", mode="dcp-disk", stores_on_disk=True),
        Contender(name="torchft", python=torchft_python, program="torchft_work.py", has_replicas=True),
        Contender(name="Ray actors", python=ray_python, program="ray_work.py"),
    )


def _with(python: str | None, tool: str) -> str | None:
    """An environment, if this command is in it."""
    return python if python and pathlib.Path(python).with_name(tool).exists() else None


@contextlib.contextmanager
def run(contender: Contender, mb: int) -> Iterator[tuple[pathlib.Path, str]]:
    """Runs one job to its end. Gives the folder with its logs, and the end of its output; both are gone afterwards."""
    folder = tempfile.mkdtemp(prefix="recovery-")
    store = tempfile.mkdtemp(prefix="recovery-", dir=None if contender.stores_on_disk else "/dev/shm")
    try:
        yield pathlib.Path(folder), _run(contender.command(folder, mb, store), contender.environment(folder), folder)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(store)


def _run(command: list[str], environment: dict[str, str], folder: str) -> str:
    output = pathlib.Path(folder, "output")
    with output.open("wb") as file:
        child = subprocess.Popen(command, env=environment, cwd=HERE, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        machine.prioritise(child.pid)
        try:
            child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass  # the logs lack its end, so it is counted as failed
        finally:
            with contextlib.suppress(ProcessLookupError):  # nothing was left
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return output.read_text(errors="replace")[-2000:]
