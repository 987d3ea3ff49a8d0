"""What does the supervisor know of the processes that it has started? And which of them are stopped before they can say a word?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from perdure.core.supervisor.state import STOPPED_S
from perdure.engines import Process
from perdure.runtime.posix import is_stopped

LOOK_EVERY_S: Final = 0.5
"""Between two looks at processes that say nothing yet. Arbitrary."""


@dataclass(slots=True)
class AgentEntry:
    number: int
    node: int
    process: Process
    begun: int = 0
    """Its process id, where it runs."""
    address: str = ""
    late: bool = False
    was_stopped: bool = False
    """It was ended because a signal had stopped it."""
    ended: str = ""

    @property
    def up(self) -> bool:
        """It listens."""
        return bool(self.address)


@dataclass(slots=True)
class Timer:
    """A moment at which something is due."""

    due: float
    action: Callable[[], None]


@dataclass(slots=True)
class OrchestratorEntry:
    process: Process
    heard_at: float


class StoppedProcesses:
    """Finds processes that are stopped by a signal, where no heartbeat is missed."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._looked_at = 0.0

    def found(self, processes: Iterable[Process], now: float) -> list[Process]:
        """Return those that have been stopped for `STOPPED_S`. After a pause of this process itself they have that time again."""
        if now - self._looked_at < LOOK_EVERY_S:
            return []
        if now - self._looked_at > STOPPED_S / 2:
            self._since.clear()
        self._looked_at = now
        stopped = [process for process in processes if is_stopped(process.pid)]
        self._since = {process.pid: self._since.get(process.pid, now) for process in stopped}
        return [process for process in stopped if now - self._since[process.pid] > STOPPED_S]
