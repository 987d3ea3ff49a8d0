"""Makes faults happen, in the process that they are for. Without faults it costs a comparison.

A ledger in memory that the processes of a node share, one byte a fault, keeps each from happening twice, for a superstep is computed again
after a recovery and a replacement knows nothing of its predecessor. What happens on one node is told to the others by the supervisor.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from collections.abc import Sequence

from perdure.core.faults import NOBODY, Fault
from perdure.core.messages.supervisor import FaultStruck
from perdure.wire.control_lines import encode


class Injector:
    """Knows the faults of the job, and whose process this is; `node` and `rank` as of `Fault.strikes`. `control`: the stream to the
    supervisor, told before a fault happens; and when, for it may read that later, and how long a detection took is to be known to the
    millisecond."""

    def __init__(self, faults: Sequence[Fault], ledger: int, control: int, *, node: int, rank: int = NOBODY) -> None:
        self._faults = list(enumerate(faults))
        self._ledger = mmap.mmap(ledger, mmap.PAGESIZE) if faults else None
        self._control, self._node, self._rank = control, node, rank

    def spend(self, index: int) -> None:
        """This fault has happened, wherever."""
        if self._ledger is not None:
            self._ledger[index] = 1

    def at(self, phase: str, superstep: int) -> None:
        """This instant has come; a fault that is due happens now, and the call may never return."""
        if self._ledger is None:
            return
        for index, fault in self._faults:
            due = fault.strikes(node=self._node, rank=self._rank, superstep=superstep, phase=phase)
            if due and self._takes_place(index) and not fault.delay_ms:
                self._strike(fault)

    def flips(self, rank: int, superstep: int) -> list[Fault]:
        """The label of `superstep` is known to be committed where `rank` lives: bits that are to change now, each once."""
        return [fault for index, fault in self._faults if fault.flips(rank=rank, superstep=superstep) and self._takes_place(index)]

    def _takes_place(self, index: int) -> bool:
        """Says so in the ledger and to the supervisor; False if it has been before."""
        if self._ledger is None or self._ledger[index]:
            return False
        self._ledger[index] = 1
        os.write(self._control, encode(FaultStruck(index=index, at=time.monotonic())))
        return True

    def _strike(self, fault: Fault) -> None:
        """What is delayed, and the end of an orchestrator at a superstep, are the supervisor's part."""
        match fault.kind:
            case "kill":
                os.killpg(0, signal.SIGKILL)
            case "stop":
                os.killpg(0, signal.SIGSTOP)
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                threading.Event().wait()
            case "orchestrator" if self._node == NOBODY:
                os.kill(os.getpid(), signal.SIGKILL)


def ledger(spent: Sequence[int]) -> int:
    """The file of a new ledger, in which these faults have happened."""
    fd = os.memfd_create("perdure-faults")
    os.ftruncate(fd, mmap.PAGESIZE)
    for index in spent:
        os.pwrite(fd, b"\1", index)
    return fd
