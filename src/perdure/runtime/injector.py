"""Makes faults happen, in the process that they are for. Without faults it costs a comparison.

A ledger in shared memory, one byte a fault, keeps each from happening twice, for a superstep is computed again after a recovery and a
replacement knows nothing of its predecessor.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final

from perdure.core.faults import NOBODY, Fault

NOTICE: Final = struct.Struct("<Bd")
"""To the supervisor, in one piece: the index of the fault, and when it struck (s, the monotonic clock that the machine's processes share).
It reads this later, and how long a detection took is to be known to the millisecond."""


class Injector:
    """Knows the faults of the job, and whose process this is; `node` and `rank` as of `Fault.strikes`. `notify`: a pipe to the supervisor,
    a `NOTICE` for each."""

    def __init__(self, faults: Sequence[Fault], ledger: int, notify: int, *, node: int, rank: int = NOBODY) -> None:
        self._faults = list(enumerate(faults))
        self._ledger = mmap.mmap(ledger, mmap.PAGESIZE) if faults else None
        self._notify, self._node, self._rank = notify, node, rank

    def at(self, phase: str, superstep: int) -> None:
        """This instant has come; a fault that is due happens now, and the call may never return."""
        if self._ledger is None:
            return
        for index, fault in self._faults:
            due = fault.strikes(node=self._node, rank=self._rank, superstep=superstep, phase=phase)
            if due and not self._ledger[index]:
                self._ledger[index] = 1
                os.write(self._notify, NOTICE.pack(index, time.monotonic()))
                if not fault.delay_ms:
                    self._strike(fault)

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
