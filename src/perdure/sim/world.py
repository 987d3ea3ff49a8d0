"""What every part of a simulated job needs: its scenario, virtual time and dice, the channels, and the log of what has happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from perdure.core import commands as do
from perdure.core import messages as msg
from perdure.core.settings import Settings
from perdure.sim.network import Network
from perdure.sim.scenario import Scenario
from perdure.sim.schedule import Schedule
from perdure.sim.transcript import Moment

REPEATED: Final = (
    msg.GroupOffer,
    msg.Prepared,
    msg.Seal,
    msg.Accept,
    msg.Accepted,
    msg.Install,
    msg.Amend,
    msg.Resume,
    msg.Committed,
    msg.Ready,
    msg.Installed,
    msg.WorkerLost,
    msg.Gathered,
)
"""Facts and what may be repeated: to hear them twice, however late, changes nothing."""
REPEAT_S: Final = 3.0
FIRST_WORKER: Final = 1_000_000


class World:
    """The surroundings of all processes. It knows none of them."""

    def __init__(self, scenario: Scenario, settings: Settings, log: int) -> None:
        """`log`: how many of the last moments are kept; 0: all."""
        self.scenario, self.settings = scenario, settings
        self.schedule = Schedule(str(scenario))
        self.network = Network(self.schedule)
        self.log: deque[Moment] = deque(maxlen=log or None)
        self.finished: do.Finish | None = None
        self.touched: set[int] = set()
        """Agents that a fault has struck, or the end of a connection of theirs."""
        self.arrived_at_s: dict[int, float] = {}
        """When agents came up that were not there at the start."""
        self.flipped = False
        """Has a bit changed by itself anywhere?"""
        self._workers = FIRST_WORKER

    def note(self, who: str, event: Any, commands: list[Any]) -> None:
        """Put a moment into the log."""
        self.log.append(Moment(self.schedule.now, who, event, commands))

    def next_worker(self) -> int:
        """Return the number of a fresh worker."""
        self._workers += 1
        return self._workers

    def send(self, source: int, target: int, message: msg.Message, receive: Callable[..., None], *whose: Any) -> None:
        """Send a message; `receive(*whose, message)` is called at the other end, and once more later where facts are repeated."""
        self.network.send(source, target, receive, *whose, message)
        if self.scenario.repeats and isinstance(message, REPEATED) and self.schedule.dice.random() < 0.1:
            self.schedule.after(self.schedule.dice.random() * REPEAT_S, self.network.send, source, target, receive, *whose, message)
