"""The next orchestrator: a process that has imported all that it needs and waits for its turn, so that a hand-over takes milliseconds."""

from __future__ import annotations

import contextlib
import selectors

from perdure.engines import Engine, Process
from perdure.errors import EngineFailed
from perdure.runtime.posix import is_stopped


class Standby:
    """At most one process waits. One that ends while it waits is not missed: `take` starts another."""

    def __init__(self, engine: Engine, config: bytes, selector: selectors.BaseSelector) -> None:
        self._engine, self._config, self._selector = engine, config, selector
        self._waiting: Process | None = None
        self._wanted = True

    def prepare(self) -> None:
        """Once for each `take`: one that cannot live is not started again and again."""
        if self._wanted:
            self._wanted = False
            with contextlib.suppress(EngineFailed):  # the hand-over takes longer then, if it can be at all
                self._waiting = self._start()
                self._selector.register(self._waiting, selectors.EVENT_READ, self._ended)

    @property
    def waiting(self) -> Process | None:
        """The process that waits, if any."""
        return self._waiting

    @property
    def is_waiting(self) -> bool:
        """Whether a process waits, which has been started before."""
        return self._waiting is not None

    def take(self) -> Process:
        """The one that waits, or a new one."""
        if self._waiting is not None and is_stopped(self._waiting.pid):
            self._engine.kill(self._waiting)
            self._ended()
        process = self._waiting
        self._wanted = True
        if process is None:
            return self._start()
        self._forget(process)
        return process

    def _forget(self, process: Process) -> None:
        self._waiting = None
        self._selector.unregister(process)

    def leave(self) -> Process | None:
        """The job is over: whoever waits is to be ended by the caller."""
        waiting, self._waiting = self._waiting, None
        return waiting

    def _start(self) -> Process:
        return self._engine.start(-1, "orchestrator", self._config)

    def _ended(self) -> None:
        process = self._waiting
        assert process is not None
        self._forget(process)
        process.how_it_ended()
        process.reap()
        process.control.close()
