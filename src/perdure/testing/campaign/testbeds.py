"""Where the runs of a campaign take place, and what can be done to a host there from outside."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from perdure.core.job_events import CommittedEvent, FaultEvent, JobEvent, NodeLostEvent, ProgressEvent, TimedEvent, name_of_type
from perdure.errors import InternalError, PerdureError
from perdure.wire import WireError
from perdure.wire.event_json import from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFault:
    """Something happens to the host of a node, which no process of the job does or knows.

    Attributes:
        kind: one of `KINDS`.
        host: the node whose host it is; `to`: the other end of a cut; -1: all.
        superstep: it strikes when progress has come so far; -1: at the first `event` instead, an event of this class.
        ms: after so many milliseconds it is taken back; 0: when the run is over.
    """

    kind: str
    host: int
    to: int = -1
    superstep: int = -1
    event: type[JobEvent] | None = None
    ms: int = 0

    def __str__(self) -> str:
        to, ms = f",to={self.to}" if self.to >= 0 else "", f",ms={self.ms}" if self.ms else ""
        return f"{self.kind}:host={self.host}{to}{ms}," + (
            f"event={name_of_type(self.event)}" if self.event else f"superstep={self.superstep}"
        )

    def is_due(self, event: JobEvent) -> bool:
        """Now that this was told."""
        if self.event:
            return isinstance(event, self.event)
        return isinstance(event, ProgressEvent | CommittedEvent) and event.superstep >= self.superstep

    def explains(self, event: JobEvent) -> bool:
        """Is that event the job's knowledge of this fault?"""
        if not isinstance(event, NodeLostEvent) or self.kind in LOSES_NOBODY or self.ms:
            return False
        return event.node in ((self.host, self.to) if self.kind == "cut" else (self.host,))


LOSES_NOBODY = ("lossy", "slow")
KINDS = ("power_off", "kill_all", "stop_all", "link_down", "cut", *LOSES_NOBODY)
"""All processes end and nobody is told, as when the power goes; all end, and the kernel tells; all stand still; nothing leaves or
arrives; what it sends to another host is lost; one packet in fifty that it sends is lost; its link is slow."""


class Testbed(Protocol):
    """For one run; it is closed after it."""

    options: Sequence[str]
    """Of `perdure run`."""

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """As `subprocess.Popen`."""

    def strike(self, fault: HostFault) -> None:
        """Happens when this returns."""

    def settle(self) -> None:
        """What can be taken back is: the stopped go on, cuts are healed."""


MakeTestbed = Callable[[], AbstractContextManager[Testbed]]


class Here:
    """This machine, or hosts that are somebody else's: nothing is done to them from outside."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        self.options: Sequence[str] = tuple(options)

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was made."""

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """See `Testbed`."""
        return subprocess.Popen(command, **options)

    def strike(self, fault: HostFault) -> None:
        """See `Testbed`."""
        raise NotImplementedError(f"{fault} needs virtual hosts: use --namespaced")

    def settle(self) -> None:
        """See `Testbed`."""


class HostFaultInjector(threading.Thread):
    """A thread that reads the events of a run from a pipe, makes each host fault happen when it is due, and adds it to the events."""

    def __init__(self, place: Testbed, strikes: Sequence[HostFault]) -> None:
        super().__init__(name="host-faults", daemon=True)
        self._place, self._waiting = place, list(strikes)
        self._read_fd, self.write_fd = os.pipe()
        self._failed: BaseException | None = None
        self.path = f"/dev/fd/{self.write_fd}"
        """Where the run is to write."""
        self.events: list[TimedEvent] = []

    def start(self) -> None:
        """Once the run has its end of the pipe, or has failed to begin."""
        os.close(self.write_fd)
        super().start()

    def run(self) -> None:
        """Until the last writer has ended."""
        with open(self._read_fd) as pipe:
            for line in pipe:
                if not line.endswith("\n"):
                    return  # cut short: its writer was killed
                try:
                    timed = from_json(json.loads(line))
                except WireError as error:
                    self._failed = InternalError(f"the run has written {error}")
                    return
                self.events.append(timed)
                for fault in [fault for fault in self._waiting if fault.is_due(timed.event)]:
                    self._waiting.remove(fault)
                    self._strike(fault, timed.t)

    def _strike(self, fault: HostFault, now: float) -> None:
        self.events.append(TimedEvent(t=now, event=FaultEvent(fault=str(fault))))
        try:
            self._place.strike(fault)
        except PerdureError as error:
            self._failed = error

    def finish(self) -> list[TimedEvent]:
        """All events. Raises what kept it from striking."""
        self.join()
        if self._failed is not None:
            raise self._failed
        return self.events
