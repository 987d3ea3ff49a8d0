"""The supervisor's part of injected faults: it reports the time of each, and triggers those that have a clock.

Most faults happen in the process that they are for, which reports them just before (see `perdure.runtime.injector`); the supervisor's
machine counts each once (`perdure.core.supervisor.injected`).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from perdure.core.faults import Fault
from perdure.core.job_events import CommittedEvent, FaultEvent, GenerationStartedEvent, JobEvent, NodeLostEvent, WorkerLostEvent
from perdure.core.plan import Plan
from perdure.runtime.posix import descendants

TRY_AGAIN_S: Final = 0.5
"""Seconds until the next attempt if no node may be lost now. Arbitrary."""
_PARTS: Final = ("the process of a node or the orchestrator", "a nursery", "a worker")
"""By their distance from the supervising process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultActions:
    """The supervisor's callbacks. `publish` takes an event, and when it happened (s, monotonic) or None: now; `can_be_lost` gives the nodes
    with ranks that the parity covers, one at a time; `processes` those that an engine has started here, by their process ids."""

    publish: Callable[[JobEvent, float | None], None]
    after: Callable[[float, Callable[[], None]], None]
    end_node: Callable[[int], None]
    end_orchestrator: Callable[[], None]
    can_be_lost: Callable[[], list[int]]
    processes: Callable[[], list[int]]


class FaultScheduler:
    """The faults of one job."""

    def __init__(self, faults: Sequence[Fault], actions: FaultActions) -> None:
        self._faults, self._actions = faults, actions
        self._undisturbed = False
        """The last thing that happened was a commit."""

    def start(self) -> None:
        """From now on the clock runs."""
        for fault in self._faults:
            if fault.every_s:
                self._strike_again(fault, random.Random(fault.seed))
            if fault.after_s:
                self._actions.after(fault.after_s, self._strike_any(fault))

    def published(self, event: JobEvent) -> None:
        """An event of the job goes to its readers: does it go on undisturbed?"""
        match event:
            case CommittedEvent():
                self._undisturbed = True
            case NodeLostEvent() | WorkerLostEvent() | GenerationStartedEvent():
                self._undisturbed = False

    def take(self, index: int, struck_at: float) -> None:
        """A fault strikes a process for the first time, at that time (s, monotonic)."""
        fault = self._faults[index]
        if fault.delay_ms:
            self._actions.after(fault.delay_ms / 1000, lambda: self._strike_late(fault))
            return
        self._actions.publish(FaultEvent(fault=str(fault)), struck_at)
        if fault.kind == "orchestrator" and not fault.phase:
            self._actions.end_orchestrator()
        if fault.others:
            self._end_nodes(fault)

    def _strike_late(self, fault: Fault) -> None:
        self._actions.publish(FaultEvent(fault=str(fault)), None)
        if fault.kind == "orchestrator":
            self._actions.end_orchestrator()
        else:
            self._end_nodes(fault)

    def _end_nodes(self, fault: Fault) -> None:
        """One of several has ended itself."""
        for node in fault.nodes:
            self._actions.end_node(node)

    def _strike_again(self, fault: Fault, dice: random.Random) -> None:
        """`kill:every`: the next node; one that the job can lose now, for it shall show that it survives, and not how it ends."""
        victims = self._actions.can_be_lost() if self._undisturbed else []
        if victims:
            node = dice.choice(victims)
            self._actions.publish(FaultEvent(fault=f"kill:node={node}"), None)
            self._undisturbed = False
            self._actions.end_node(node)
        self._actions.after(fault.every_s if victims or not self._undisturbed else TRY_AGAIN_S, lambda: self._strike_again(fault, dice))

    def _strike_any(self, fault: Fault) -> Callable[[], None]:
        """`process` and `freeze`: any process of the job on this machine, whatever it does; none that the program's caller has besides."""
        sign = signal.SIGKILL if fault.kind == "process" else signal.SIGSTOP

        def strike() -> None:
            started = self._actions.processes()
            ours = descendants(*started).keys() | {*started}
            processes = {pid: depth for pid, depth in descendants(os.getpid()).items() if pid in ours}
            if not processes:
                return  # all have just ended, which the supervisor is about to hear
            pid = random.Random(fault.seed).choice(sorted(processes))
            what = _PARTS[min(processes[pid], len(_PARTS)) - 1]
            self._actions.publish(FaultEvent(fault=str(fault), pid=pid, what=what), None)
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, sign)

        return strike


def can_spare(plan: Plan | None, agent: int) -> bool:
    """Return whether the agent hosts ranks, and the others can rebuild them without it."""
    if plan is None or agent not in plan.agents() or len(plan.agents()) < 2:
        return False
    return all(sum(plan.agent_of(rank) == agent for rank in group) <= plan.parity for group in plan.groups)
