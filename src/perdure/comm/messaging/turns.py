"""Several threads of a rank inside calls of the communicator (`MPI.THREAD_MULTIPLE`).

1. A thread holds `lock` while it is inside a call, and gives it up while it polls. So one thread at a time uses mailbox and links. A thread
   that knows of no other thread of the program keeps it while it polls, because giving it up costs microseconds (rule 4 covers the rest).
2. One thread polls for all. The others wait on `_moved`, which the first one notifies whenever bytes have moved, and when it leaves.
3. A thread that leaves a call, or begins to wait, makes the polling one look again: what that one waits for may be there, or a new link.
4. A thread that finds `lock` taken counts itself in `contenders` and wakes the one that polls; a thread that spins, wakes, or moves a long
   message then lets it in.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable


class Turns:
    """Which thread may use the communicator's state.

    Attributes:
        lock: held by the thread whose turn it is.
        polls: the identifier of the thread that polls, for all; 0: none does.
        contenders: how many threads wait for `lock` to enter a call.
        sleepers: how many threads wait, inside a call, for the thread that polls.
        waiting: the identifiers of the threads that wait inside a call, without the one that polls.
    """

    def __init__(self, look_again: Callable[[], None]) -> None:
        """`look_again` wakes the thread that polls."""
        self.lock = threading.RLock()
        self.polls = 0
        self.contenders = self.sleepers = 0
        self.waiting: set[int] = set()
        self._moved = threading.Condition(self.lock)
        self._count = threading.Lock()
        self._look_again = look_again

    def take(self) -> None:
        """Take the turn from a thread that is inside a call and does not poll."""
        with self._count:
            self.contenders += 1
        self._look_again()
        self.lock.acquire()
        with self._count:
            self.contenders -= 1

    def nudge(self) -> None:
        """Make the thread that polls, if there is one, look again."""
        if self.polls:
            self._look_again()

    def left(self) -> None:
        """This thread leaves a call: it may have done what others wait for."""
        self.nudge()
        self.moved()

    def moved(self) -> None:
        """Bytes have moved, or this thread waits no more: those that sleep look again."""
        if self.sleepers:
            self._moved.notify_all()

    def share(self) -> None:
        """`moved`; and threads that are not inside yet may enter."""
        self.moved()
        if self.contenders:
            depth = self.lock._release_save()  # type: ignore[attr-defined]
            os.sched_yield()
            self.lock._acquire_restore(depth)  # type: ignore[attr-defined]

    def poll(self, poll: select.poll, timeout_ms: float | None) -> list[tuple[int, int]]:
        """Poll for all threads. Others have their turns meanwhile."""
        self.polls = threading.get_ident()
        depth = self.lock._release_save()  # type: ignore[attr-defined]  # as often as this thread has taken it
        try:
            return poll.poll(timeout_ms)
        finally:
            self.lock._acquire_restore(depth)  # type: ignore[attr-defined]
            self.polls = 0

    def sleep(self, is_new: bool) -> None:
        """Wait for the thread that polls. `is_new`: this thread has changed what is to be polled."""
        if is_new:
            self.nudge()
        me = threading.get_ident()
        self.waiting.add(me)
        self.sleepers += 1
        try:
            self._moved.wait()
        finally:
            self.sleepers -= 1
            self.waiting.discard(me)
