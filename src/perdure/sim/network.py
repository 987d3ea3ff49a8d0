"""Who hears what, and when? Channels between processes: one for each direction, first in first out, as connections are.

A channel has a speed that lasts, so that what is said to one may be known long before another hears of it. Reordering is between
channels only. A cut holds what is said in one direction until it heals; the last words of a process that dies arrive in part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from perdure.sim.schedule import Schedule

SPEEDS_S: Final = (0.0001, 0.0002, 0.0005, 0.002, 0.02)
"""Latencies; one is drawn for each channel. From a machine of its own to a link that is busy with something else."""
LOCAL_S: Final = 0.0001
GAP_S: Final = 1e-7
"""Between two messages of one channel that would arrive together."""
SLOWER: Final = 20
"""How many times as long everything takes at a slow node."""


@dataclass(slots=True)
class SimChannel:
    """One direction of one connection."""

    latency_s: float
    newest_s: float = 0.0
    """When the last message so far arrives."""
    ends_s: float = inf
    """Nothing arrives after that: the sender died with the rest unsent."""
    cut_until_s: float = 0.0


class Network:
    """All channels. Processes are numbers: agents from 1 on, orchestrators negative, the supervisor 0, workers from a million on."""

    def __init__(self, schedule: Schedule) -> None:
        self.slow: set[int] = set()
        self._schedule = schedule
        self._channels: dict[tuple[int, int], SimChannel] = {}

    def send(self, source: int, target: int, deliver: Callable[..., None], *arguments: Any) -> None:
        """`deliver(*arguments)` is called at the target's end, after all that was sent there before."""
        channel = self.channel(source, target)
        schedule = self._schedule
        start = max(schedule.now, channel.cut_until_s)
        if start == inf:
            return
        arrives = max(start + channel.latency_s * (0.5 + schedule.dice.random()), channel.newest_s + GAP_S)
        channel.newest_s = arrives
        schedule.at(arrives, self._arrive, channel, deliver, arguments)

    def _arrive(self, channel: SimChannel, deliver: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self._schedule.now <= channel.ends_s:
            deliver(*arguments)

    def channel(self, source: int, target: int) -> SimChannel:
        """Opened when it is first asked for."""
        found = self._channels.get((source, target))
        if found is None:
            latency_s = LOCAL_S if source == target else self._schedule.dice.choice(SPEEDS_S)
            if source in self.slow or target in self.slow:
                latency_s *= SLOWER
            found = self._channels[source, target] = SimChannel(latency_s)
        return found

    def end(self, source: int) -> None:
        """The process has died: of what it said and was not heard yet, each connection brings a first part."""
        now, dice = self._schedule.now, self._schedule.dice
        for (sender, _), channel in self._channels.items():
            if sender == source and channel.ends_s == inf:
                channel.ends_s = now + dice.choice((0.0, 0.5, 1.0)) * max(0.0, channel.newest_s - now)

    def cut(self, source: int, target: int, until_s: float) -> None:
        """What `source` says from now on is held until then; `inf` for ever."""
        self.channel(source, target).cut_until_s = until_s

    def is_cut(self, source: int, target: int) -> bool:
        """Does nothing pass in this direction just now?"""
        channel = self._channels.get((source, target))
        return channel is not None and channel.cut_until_s > self._schedule.now

    def was_cut(self, source: int, target: int) -> bool:
        """Was this direction ever cut?"""
        channel = self._channels.get((source, target))
        return channel is not None and channel.cut_until_s > 0
