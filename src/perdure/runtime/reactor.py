"""What one thread waits for: descriptors that become readable, moments, and actions that other threads post.

A reaction may watch, unwatch and post anything. It must not wait for long: nothing else is done meanwhile.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from perdure.runtime.loop import HasFileno

Action = Callable[[], object]


@dataclass(slots=True, eq=False)
class Timer:
    """A moment (s, monotonic) at which something is due."""

    due: float
    action: Action


class Reactor:
    """Used by one thread, but for `post`, which any thread may call."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._posted: deque[Action] = deque()
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """-1 once closed."""
        self._selector.register(self._wake, selectors.EVENT_READ, self._take_posted)

    def post(self, action: Action) -> None:
        """Let the reactor's thread call `action` in its next turn. Never waits; after `close` nothing happens."""
        with self._lock:
            if self._wake >= 0:
                self._posted.append(action)
                os.eventfd_write(self._wake, 1)

    def watch(self, what: HasFileno, react: Action) -> None:
        """Call `react` in every turn in which `what` is readable."""
        self._selector.register(what, selectors.EVENT_READ, react)

    def watches(self, what: HasFileno) -> bool:
        """Is it watched?"""
        return what in self._selector.get_map()

    def unwatch(self, what: HasFileno) -> None:
        """Forget it, if it is watched; to be called before it is closed."""
        if self.watches(what):
            self._selector.unregister(what)

    def after(self, seconds: float, action: Action) -> None:
        """Call `action` in a `turn`, as soon as so much time has passed."""
        self._timers.append(Timer(time.monotonic() + seconds, action))

    def turn(self, due: float) -> None:
        """Wait for anything to happen, until `due` (s, monotonic) at the latest, and call what is to be called."""
        soonest = min([due, *(timer.due for timer in self._timers)])
        timeout_s = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
        for key, _ in self._selector.select(timeout_s):
            if self._selector.get_map().get(key.fd) is key:  # and not closed, or another's by now, because of an earlier one of these
                key.data()
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.due <= now]:
            self._timers.remove(timer)
            timer.action()

    def _take_posted(self) -> None:
        os.eventfd_read(self._wake)
        while self._posted:
            self._posted.popleft()()

    def close(self) -> None:
        """Call nothing any more."""
        with self._lock:
            wake, self._wake = self._wake, -1
            self._posted.clear()
        if wake >= 0:
            self._selector.close()
            os.close(wake)


class ReactorThread:
    """A reactor that turns on a thread of its own until it is closed."""

    def __init__(self, name: str) -> None:
        self.reactor = Reactor()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            self.reactor.turn(float("inf"))

    def _end(self) -> None:
        self._is_over = True

    def close(self) -> None:
        """Wait until the thread has ended. Nothing that was posted later is called, and no timer."""
        self.reactor.post(self._end)
        self._thread.join()
        self.reactor.close()
