"""The streams from the supervisor to its processes, with one reactor for the messages of all.

The table decides nothing: it reports whole lines, and then the end, of each process to the functions that its `enter` was given. A process
is known by its role and number, as the supervisor's machine counts them; what is asked for one that has left is ignored.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from perdure.core.messages.supervisor import StreamMessage
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.posix import is_stopped
from perdure.runtime.reactor import Reactor
from perdure.streams.protocol import Stream

Role = Literal["agent", "orchestrator"]
Key = tuple[Role, int]
Lines = Callable[[list[bytes], bool], None]
"""Takes whole lines, and whether another one has begun."""


@dataclass(slots=True)
class _Entry:
    control: ControlStream
    local_pid: int
    lines: Lines


@dataclass(slots=True)
class ProcessTable:
    """All processes of a job that run, as far as the supervisor knows."""

    reactor: Reactor = field(default_factory=Reactor)
    _running: dict[Key, _Entry] = field(default_factory=dict)

    def enter(self, key: Key, stream: Stream, local_pid: int, lines: Lines) -> None:
        """A process runs: watch its stream. `local_pid`: a process of this machine that stands for it; 0: there is none."""
        entry = self._running[key] = _Entry(ControlStream(stream), local_pid, lines)
        self.reactor.watch(entry.control, lambda: self._receive(entry))

    def leave(self, key: Key) -> None:
        """A process has ended: its last messages count, and then nothing comes from it."""
        entry = self._running.pop(key, None)
        if entry is not None:
            while self.reactor.watches(entry.control) and self._receive(entry):
                pass
            self.reactor.unwatch(entry.control)
            entry.control.close()

    def send(self, key: Key, message: StreamMessage) -> None:
        """Send a message to a process, if it still runs."""
        if key in self._running:
            self._running[key].control.send(message)

    def pids(self, role: Role, numbers: Iterable[int]) -> dict[int, int]:
        """Return the local process ids of those of these processes that run and have one, by their numbers."""
        entries = {number: self._running.get((role, number)) for number in numbers}
        return {number: entry.local_pid for number, entry in entries.items() if entry is not None and entry.local_pid}

    def stopped(self, role: Role, numbers: Iterable[int]) -> tuple[int, ...]:
        """Return those of these processes that a signal has stopped."""
        return tuple(number for number, pid in self.pids(role, numbers).items() if is_stopped(pid))

    def _receive(self, entry: _Entry) -> bool:
        """False when there was nothing."""
        lines = entry.control.receive()
        if lines is None:
            self.reactor.unwatch(entry.control)
            return False
        if entry.control.received:
            entry.lines(lines, entry.control.within_a_line)
        return entry.control.received

    def close(self, ends: Sequence[Callable[[], None]]) -> None:
        """Call all of `ends`, which end processes, whatever one of them raises; then close all streams."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            for end in reversed(ends):
                stack.callback(end)

    def _close(self) -> None:
        self.reactor.close()
        for entry in self._running.values():
            entry.control.close()
        self._running.clear()
