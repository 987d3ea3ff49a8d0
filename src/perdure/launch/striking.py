"""The supervising process's part of injected faults: it tells when each struck, and makes those happen that have a clock.

Most faults happen in the process that they are for, which sends a notice just before (see `perdure.runtime.injector`).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from perdure.core.faults import Fault
from perdure.runtime.injector import NOTICE
from perdure.runtime.posix import descendants

TRY_AGAIN_S: Final = 0.5
"""When there is no node that may be lost now; arbitrary."""
NOTICES: Final = 64
"""That are read at once; arbitrary."""
_PARTS: Final = ("the process of a node or the orchestrator", "a nursery", "a worker")
"""By their distance from the supervising process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What the supervisor lends. `tell` takes an event and its fields, `t` (s, monotonic) among them if it is not now."""

    tell: Callable[..., None]
    after: Callable[[float, Callable[[], None]], None]
    end_node: Callable[[int], None]
    end_orchestrator: Callable[[], None]
    can_be_lost: Callable[[], list[int]]


class Striker:
    """The faults of one job. `notices` is readable when one has struck; `close` when the job is over."""

    def __init__(self, faults: Sequence[Fault], hands: Hands) -> None:
        self._faults, self._hands = faults, hands
        self._happened: set[int] = set()
        self.undisturbed = False
        """The last thing that happened was a commit."""
        self.notices, self.notify = os.pipe()
        self.ledger = os.memfd_create("perdure-faults")
        os.ftruncate(self.ledger, 4096)

    def close(self) -> None:
        """No more faults."""
        for fd in (self.notices, self.notify, self.ledger):
            os.close(fd)

    def start(self) -> None:
        """From now on the clock runs."""
        for fault in self._faults:
            if fault.every_s:
                self._strike_again(fault, random.Random(fault.seed))
            if fault.after_s:
                self._hands.after(fault.after_s, self._striking_any(fault))

    def noticed(self) -> None:
        """Notices have come. Two workers of a node may have reached the same instant: it is one fault."""
        for index, struck_at in NOTICE.iter_unpack(os.read(self.notices, NOTICES * NOTICE.size)):
            if index not in self._happened:
                self._happened.add(index)
                self._happens(self._faults[index], struck_at)

    def _happens(self, fault: Fault, struck_at: float) -> None:
        if fault.delay_ms:
            self._hands.after(fault.delay_ms / 1000, lambda: self._strike_late(fault))
            return
        self._hands.tell("fault", fault=str(fault), t=struck_at)
        if fault.kind == "orchestrator" and not fault.phase:
            self._hands.end_orchestrator()

    def _strike_late(self, fault: Fault) -> None:
        self._hands.tell("fault", fault=str(fault))
        if fault.kind == "orchestrator":
            self._hands.end_orchestrator()
        else:
            self._hands.end_node(fault.node)

    def _strike_again(self, fault: Fault, dice: random.Random) -> None:
        """`kill:every`: the next node; one that the job can lose now, for it shall show that it survives, and not how it ends."""
        victims = self._hands.can_be_lost() if self.undisturbed else []
        if victims:
            node = dice.choice(victims)
            self._hands.tell("fault", fault=f"kill:node={node}")
            self.undisturbed = False
            self._hands.end_node(node)
        self._hands.after(fault.every_s if victims or not self.undisturbed else TRY_AGAIN_S, lambda: self._strike_again(fault, dice))

    def _striking_any(self, fault: Fault) -> Callable[[], None]:
        """`process` and `freeze`: any process of the job, whatever it does."""
        sign = signal.SIGKILL if fault.kind == "process" else signal.SIGSTOP

        def strike() -> None:
            processes = descendants(os.getpid())
            pid = random.Random(fault.seed).choice(sorted(processes))
            fields: dict[str, Any] = {"fault": str(fault), "pid": pid, "what": _PARTS[min(processes[pid], len(_PARTS)) - 1]}
            self._hands.tell("fault", **fields)
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, sign)

        return strike
