"""The common work under torchrun: `torchrun ... torchrun_work.py FOLDER MB STORE FORMAT`, gloo, the state in files under STORE.

When a process ends, torchrun ends the others and starts all of them again; they read the newest files. FORMAT `bytes`: each rank's array as
it is, the fastest way there is; `dcp`: by torch.distributed.checkpoint. STORE in memory: nothing is synchronised to any disk; `dcp-disk`
does that, for files that are to outlive a machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from typing import Protocol

import machine

machine.prioritise()  # before the imports, which are part of what is measured
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from common_work import MIB, PROTECT_EVERY, STEPS, Log, checksum, initial, must_die, step  # noqa: E402
from gloo import Gloo  # noqa: E402


class Format(Protocol):
    """How the state of this rank, (n,) float64, gets into a folder and back."""

    def write(self, state: np.ndarray, folder: str) -> None:
        """All ranks call it, with the same folder."""

    def read(self, state: np.ndarray, folder: str) -> None:
        """In place. All ranks call it."""


class Bytes:
    """One file a rank."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def write(self, state: np.ndarray, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{self.rank}", "wb", buffering=0) as file:
            left = state.view(np.uint8).data
            while len(left):
                left = left[file.write(left) :]

    def read(self, state: np.ndarray, folder: str) -> None:
        with open(f"{folder}/{self.rank}", "rb", buffering=0) as file:
            left = state.view(np.uint8).data
            while len(left):
                left = left[file.readinto(left) :]


class Checkpoints:
    """torch.distributed.checkpoint's own files. Each rank has a tensor of its own."""

    def __init__(self, rank: int, *, to_disk: bool) -> None:
        import torch.distributed.checkpoint as dcp

        self.dcp, self.name, self.to_disk = dcp, f"state{rank}", to_disk

    def write(self, state: np.ndarray, folder: str) -> None:
        self.dcp.save({self.name: torch.from_numpy(state)}, storage_writer=self.dcp.FileSystemWriter(folder, sync_files=self.to_disk))

    def read(self, state: np.ndarray, folder: str) -> None:
        self.dcp.load({self.name: torch.from_numpy(state)}, storage_reader=self.dcp.FileSystemReader(folder))


class Files:
    """A folder a protected step; `newest` names the step that all ranks have written. The last two are kept."""

    def __init__(self, root: str, rank: int, format_: Format) -> None:
        self.root, self.rank, self.format = root, rank, format_

    def newest(self) -> int | None:
        """The step to go on from."""
        try:
            with open(f"{self.root}/newest") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def write(self, state: np.ndarray, number: int) -> None:
        """All ranks call it; blocks until everybody has written."""
        self.format.write(state, f"{self.root}/{number}")
        dist.barrier()
        if self.rank == 0:
            with open(f"{self.root}/next", "w") as text:
                text.write(str(number))
            os.rename(f"{self.root}/next", f"{self.root}/newest")
            shutil.rmtree(f"{self.root}/{number - 2 * PROTECT_EVERY}", ignore_errors=True)  # there is none in the first rounds

    def read(self, number: int, mb: int) -> np.ndarray:
        """The state of this rank."""
        state = np.empty(mb * MIB)
        self.format.read(state, f"{self.root}/{number}")
        return state


def main(folder: str, mb: int, store: str, format_: str) -> None:
    """One rank of one attempt."""
    rank, epoch = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    log = Log(folder, rank)
    files = Files(store, rank, Bytes(rank) if format_ == "bytes" else Checkpoints(rank, to_disk=format_ == "dcp-disk"))
    log("imported", rank=rank, epoch=epoch)
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    number = files.newest()
    state = initial(rank, mb) if number is None else files.read(number, mb)
    number = number or 0
    gloo = Gloo(rank)
    log("resume", rank=rank, epoch=epoch, step=number)
    while number < STEPS:
        if must_die(folder, log, rank, number):
            os.kill(os.getpid(), signal.SIGKILL)
        log("step", rank=rank, epoch=epoch, step=number, sum=step(state, number, gloo.reduce, gloo.ring))
        number += 1
        if number % PROTECT_EVERY == 0:
            began = time.monotonic()
            files.write(state, number)
            log("protected", rank=rank, step=number, seconds=time.monotonic() - began)
    log("final", rank=rank, sum=checksum(state))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
