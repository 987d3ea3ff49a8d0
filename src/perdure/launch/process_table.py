"""Which processes has the engine started for the supervisor, and what comes from them? One selector for the messages and ends of all.

The table decides nothing: it reports whole lines, and then the end, of each process to the functions that its `start` was given. A process
is known by its role and number, as the supervisor's machine counts them; what is asked for one that has ended is ignored.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from perdure.core.messages.supervisor import StreamMessage
from perdure.engines import Engine, Process
from perdure.runtime.posix import descendants, is_stopped, kill_and_wait

REAP_AFTER_S: Final = 5.0
"""A node that has ended leaves a zombie and a descriptor until then; to reap it at once would wait for its memory to be freed."""
Role = Literal["agent", "orchestrator"]
Key = tuple[Role, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactions:
    """What is to be called: `lines` with whole lines, and whether another one has begun; `ended` with how the process has ended, once and
    after all of its lines."""

    lines: Callable[[list[bytes], bool], None]
    ended: Callable[[str], None]


@dataclass(slots=True)
class Timer:
    """A moment (s, monotonic) at which something is due."""

    due: float
    action: Callable[[], None]


@dataclass(slots=True)
class _Entry:
    key: Key
    process: Process
    reactions: Reactions


@dataclass(slots=True)
class ProcessTable:
    """All processes of a job that an engine has started, and timers."""

    engine: Engine
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _running: dict[Key, _Entry] = field(default_factory=dict)
    _unreaped: list[Process] = field(default_factory=list)
    """Nodes that have ended."""
    _timers: list[Timer] = field(default_factory=list)

    def start(self, key: Key, node: int, config: bytes, reactions: Reactions) -> Process:
        """Start a process in its role on a node. EngineFailed: it cannot be started."""
        process = self.engine.start(node, key[0], config)
        entry = self._running[key] = _Entry(key, process, reactions)
        self._watch(process.control, lambda: self._receive(entry))
        self._watch(process, lambda: self._end(entry))
        return process

    def send(self, key: Key, message: StreamMessage) -> None:
        """Send a message to a process, if it still runs."""
        if key in self._running:
            self._running[key].process.control.send(message)

    def kill(self, key: Key) -> None:
        """End the process and all that it has started, if it still runs."""
        if key in self._running:
            self.engine.kill(self._running[key].process)

    def pids(self, role: Role, numbers: Iterable[int]) -> dict[int, int]:
        """Return the process ids of those of these processes that run, by their numbers."""
        return {number: self._running[role, number].process.pid for number in numbers if (role, number) in self._running}

    def stopped(self, role: Role, numbers: Iterable[int]) -> tuple[int, ...]:
        """Return those of these processes that a signal has stopped."""
        return tuple(number for number, pid in self.pids(role, numbers).items() if is_stopped(pid))

    # ---- what happens -----------------------------------------------------------------------------------------------------

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in a `turn`, as soon as so much time has passed."""
        self._timers.append(Timer(time.monotonic() + seconds, action))

    def turn(self, due: float) -> None:
        """Wait for anything to happen, until `due` (s, monotonic), and call what is to be called."""
        soonest = min([due, *(timer.due for timer in self._timers)])
        for key, _ in self._selector.select(max(0.0, soonest - time.monotonic())):
            if self._selector.get_map().get(key.fd) is key:  # and not closed, or another's by now, because of an earlier one of these
                key.data()
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.due <= now]:
            self._timers.remove(timer)
            timer.action()

    def _watch(self, what: Any, react: Callable[[], object]) -> None:
        self._selector.register(what, selectors.EVENT_READ, react)

    def _receive(self, entry: _Entry) -> bool:
        """False when there was nothing."""
        control = entry.process.control
        lines = control.receive()
        if lines is None:
            self._selector.unregister(control)
            return False
        if control.received:
            entry.reactions.lines(lines, control.within_a_line)
        return control.received

    def _end(self, entry: _Entry) -> None:
        process = entry.process
        self._selector.unregister(process)
        how = process.how_it_ended()
        while process.control in self._selector.get_map() and self._receive(entry):
            pass  # its last messages count
        if process.control in self._selector.get_map():
            self._selector.unregister(process.control)
        self.engine.kill(process)  # and what is left of its session
        process.control.close()
        del self._running[entry.key]
        if entry.key[0] == "agent":
            self._unreaped.append(process)
            self.after(0.0, process.sweep)  # when the others have been informed
            self.after(REAP_AFTER_S, lambda: self._reap(process))
        else:
            process.reap()
        entry.reactions.ended(how)

    def _reap(self, process: Process) -> None:
        process.reap()
        self._unreaped.remove(process)

    def close(self) -> None:
        """End all processes, and what they have started. Nothing of the job is left."""
        running = [entry.process for entry in self._running.values()]
        below = descendants(*(process.pid for process in running))  # also what has left its session
        for process in running:
            self.engine.kill(process)
        for process in running:
            process.how_it_ended()
        kill_and_wait(below)
        self._selector.close()
        for process in (*running, *self._unreaped):
            process.reap()
            process.sweep()
            process.control.close()
        self._running.clear()
        self._unreaped.clear()
