"""A bounded queue with a thread that passes events to a reader, so that a reader that stops delays nothing else.

Events that do not fit are dropped and counted. The reader receives the number, as an event in their place, when it reads again.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from perdure.core.job_events import EventsDroppedEvent, TimedEvent

EVENTS_MAX: Final = 10_000
"""Events that wait for a reader: some megabytes, and at ten events a second a quarter of an hour. Arbitrary."""
PATIENCE_S: Final = 30.0
"""Seconds that the end of a job waits for a reader that reads nothing. Arbitrary."""
PATIENCE_INTERRUPTED_S: Final = 1.0
"""The same after Ctrl-C or SIGTERM. Arbitrary."""


class EventQueue:
    """A queue of events before a function that may block. A context manager: its exit waits for the reader.

    `put` never blocks. `take` is called on one thread, with the events in their order, and should raise nothing.
    """

    def __init__(self, take: Callable[[TimedEvent], None], *, name: str, events_max: int = EVENTS_MAX) -> None:
        self._take, self._events_max = take, events_max
        self._changed = threading.Condition()
        self._waiting: collections.deque[TimedEvent] = collections.deque()
        self._dropped = 0
        self._dropped_at = 0.0
        self._taken = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, event: TimedEvent) -> None:
        """Queue an event, or drop it if the queue is full. After a drop the queue takes events again when it is half empty."""
        with self._changed:
            limit = self._events_max // 2 if self._dropped else self._events_max
            if len(self._waiting) >= limit:
                self._dropped += 1
                self._dropped_at = event.t
                return
            self._mark_the_gap()
            self._waiting.append(event)
            self._changed.notify_all()

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Wait until all events are taken. False: the reader took none for `patience_s`."""
        with self._changed:
            self._mark_the_gap()
            self._is_closed = True
            self._changed.notify_all()
            while self._thread.is_alive() and not self._is_finished():
                taken = self._taken
                if not self._changed.wait_for(lambda: self._taken != taken or self._is_finished(), patience_s):  # noqa: B023
                    return False
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def __enter__(self) -> EventQueue:
        """See `close`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """See `close`. A person who interrupts waits for less."""
        is_interrupt = error is not None and not isinstance(error, Exception)
        self.close(PATIENCE_INTERRUPTED_S if is_interrupt else PATIENCE_S)

    def _mark_the_gap(self) -> None:
        if self._dropped:
            self._waiting.append(TimedEvent(t=self._dropped_at, event=EventsDroppedEvent(count=self._dropped)))
            self._dropped = 0
            self._changed.notify_all()

    def _is_finished(self) -> bool:
        return self._is_closed and not self._waiting

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                event = self._waiting[0]
            try:
                self._take(event)
            finally:
                with self._changed:
                    self._waiting.popleft()
                    self._taken += 1
                    self._changed.notify_all()
