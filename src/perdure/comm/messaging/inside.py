"""A public call of a rank: the thread takes its turn, and the monitor notes that the rank is inside."""

from __future__ import annotations

from types import TracebackType

from perdure.comm.messaging.monitor import Monitor
from perdure.comm.messaging.traffic import MessageTraffic


class Inside:
    """While it is entered, the rank is inside a public call, and the thread has its turn. Raises when the generation is over."""

    __slots__ = ("_acquire", "_calls", "_enter", "_leave", "_release", "_traffic", "_turns", "call")

    def __init__(self, call: str, traffic: MessageTraffic, calls: list[Inside], monitor: Monitor) -> None:
        self.call, self._traffic, self._turns, self._calls = call, traffic, traffic.turns, calls
        self._enter, self._leave = monitor.enter, monitor.leave
        self._acquire, self._release = traffic.turns.lock.acquire, traffic.turns.lock.release

    def __enter__(self) -> None:
        if not self._acquire(False):
            self._turns.take()
        try:
            if self._traffic.is_stopped:
                self._traffic.check()
            self._enter(self.call)
        except BaseException:
            self._release()
            raise
        self._calls.append(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        calls = self._calls
        if calls[-1] is self:
            del calls[-1]
        else:
            calls.remove(self)
        if calls:  # of another thread, or around this one
            self._enter(calls[-1].call)
            self._turns.left()
        else:
            self._leave()
        self._release()
