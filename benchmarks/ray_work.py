"""The common work on Ray: `python ray_work.py FOLDER MB` is the driver of four actors that speak gloo with one another.

The driver calls the actors for ten steps at a time and then asks each for its state, which stays in Ray's object store. When an actor is
lost Ray starts it again; the driver lets all four meet anew and gives each its state of the last protected step.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import machine

machine.prioritise()  # before the imports, which are part of what is measured
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import numpy as np  # noqa: E402
import ray  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from common_work import PROTECT_EVERY, SIZE, STEPS, Log, checksum, initial, must_die, step  # noqa: E402
from gloo import Gloo  # noqa: E402

STORE_BYTES = 4 << 30
"""Of the object store: two protected steps of the largest state, and room."""
POLL_S = 0.02
"""An actor that is being started answers no call; it is called again this often."""
Protected = tuple[int, np.ndarray]


class Rank:
    """One rank. `meet` before the first step, and again after a loss."""

    def __init__(self, rank: int, folder: str, mb: int) -> None:
        machine.prioritise()
        self.rank, self.folder, self.epoch, self.number = rank, folder, 0, 0
        self.log = Log(folder, rank)
        self.state = initial(rank, mb)
        self.gloo = Gloo(rank)
        torch.set_num_threads(1)

    def meet(self, epoch: int, port: int) -> None:
        """Returns when all four are there."""
        if dist.is_initialized():
            dist.destroy_process_group()
        store = dist.PrefixStore(str(epoch), dist.TCPStore("127.0.0.1", port, is_master=False))
        dist.init_process_group("gloo", store=store, rank=self.rank, world_size=SIZE)
        self.epoch = epoch

    def protected(self) -> Protected:
        """Is copied into the object store."""
        return self.number, self.state

    def restore(self, protected: Protected) -> None:
        """The copy from there."""
        self.number = protected[0]
        np.copyto(self.state, protected[1])

    def go_on(self) -> None:
        """All have their state."""
        self.log("resume", rank=self.rank, epoch=self.epoch, step=self.number)

    def steps(self, until: int) -> bool:
        """False: another was lost. Nobody can tell those that wait for a live one, so each that learns of it hangs up on all."""
        try:
            while self.number < until:
                if must_die(self.folder, self.log, self.rank, self.number):
                    os.kill(os.getpid(), signal.SIGKILL)
                total = step(self.state, self.number, self.gloo.reduce, self.gloo.ring)
                self.log("step", rank=self.rank, epoch=self.epoch, step=self.number, sum=total)
                self.number += 1
        except RuntimeError:
            dist.destroy_process_group()
            return False
        if self.number == STEPS:
            self.log("final", rank=self.rank, sum=checksum(self.state))
        return True


class Driver:
    """Who calls the actors, and holds what is protected."""

    def __init__(self, folder: str, mb: int) -> None:
        self.log = Log(folder, "driver")
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        actor: Any = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(Rank)
        self.ranks = [actor.remote(rank, folder, mb) for rank in range(SIZE)]
        self.epoch = 0

    def run(self) -> None:
        """The whole job."""
        self._meet()
        refs, done = self._protect(0), 0
        while done < STEPS:
            until = done + PROTECT_EVERY
            if self._steps(until):
                refs, done = self._protect(until) if until < STEPS else refs, until
                continue
            self.epoch += 1
            self._meet()
            ray.get([rank.restore.remote(ref) for rank, ref in zip(self.ranks, refs, strict=True)])
            ray.get([rank.go_on.remote() for rank in self.ranks])

    def _protect(self, number: int) -> list[Any]:
        began = time.monotonic()
        refs = [rank.protected.remote() for rank in self.ranks]
        ray.wait(refs, num_returns=SIZE, fetch_local=False)
        self.log("protected", step=number, seconds=time.monotonic() - began)
        return refs

    def _steps(self, until: int) -> bool:
        outcomes = [self._outcome(call) for call in [rank.steps.remote(until) for rank in self.ranks]]
        return all(outcomes)

    def _outcome(self, call: Any) -> bool:
        try:
            return bool(ray.get(call))
        except ray.exceptions.RayActorError:
            return False

    def _meet(self) -> None:
        calls = {number: self._call_meet(number) for number in range(SIZE)}
        while calls:
            for number, call in list(calls.items()):
                try:
                    ray.get(call, timeout=POLL_S)
                    del calls[number]
                except ray.exceptions.GetTimeoutError:
                    continue  # not there yet
                except ray.exceptions.RayActorError:
                    calls[number] = self._call_meet(number)  # it is being started again

    def _call_meet(self, number: int) -> Any:
        return self.ranks[number].meet.remote(self.epoch, self.store.port)


def main(folder: str, mb: int) -> None:
    """Ray on this machine alone, gone at the end."""
    ray.init(num_cpus=SIZE, object_store_memory=STORE_BYTES, include_dashboard=False, logging_level="ERROR", _temp_dir=f"{folder}/ray")
    try:
        Driver(folder, mb).run()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
