"""The simulated engine: it grants nodes, starts and ends them, and reports what happens; late, wrongly, or not while it is unavailable.

Requests and nodes are known by the numbers of their agents.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from perdure.core import events as ev
from perdure.core.engine_events import NodeEvent, RequestEvent
from perdure.core.ids import NodeId
from perdure.sim.nodes import SimNode, Surroundings
from perdure.sim.world import World

LATE_S: Final = 2.0
"""How long an engine may be late that is late."""
KILLS_LATE_S: Final = 0.9
"""The same when it is to end a node: within `fencing.FENCED_S`."""
GRANTED_LATE_S: Final = 10.0
"""At most so long after the time for a start is over, a request is granted late."""
REFUSED: Final = "the engine has no room"
UNAVAILABLE_S: Final = (0.5, 3.0, 8.0)
DRAINED_S: Final = (0.1, 2.0, 20.0)
ANSWERS: Final = ("late_node", "late_grant", "refused_node")
"""Kinds of faults: how the next request is answered."""


def node_of(agent: int) -> NodeId:
    """Return the engine's id of the node that it grants to an agent."""
    return NodeId(f"simulated/{agent}")


class SimEngine:
    """One job's engine. `take` is called with what it reports; `start` makes an agent run."""

    def __init__(
        self, world: World, around: Surroundings, take: Callable[[ev.SupervisorEvent], None],
        take_now: Callable[[ev.SupervisorEvent], None], start: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._world, self._around, self._take, self._take_now, self._start = world, around, take, take_now, start
        self.answers: deque[str] = deque()
        """How the next requests are answered, if not at once."""
        self.refused: set[int] = set()
        """Agents that it could not start, or had no node for."""
        self.false_ends: set[int] = set()
        """Agents whose nodes it has reported as ended, while they went on."""
        self.unavailable_until_s = -inf
        self._requested: set[int] = set()
        self._granted: set[int] = set()
        """Those that are released are not among them."""

    @property
    def is_unavailable(self) -> bool:
        """Is every call lost, and nothing reported?"""
        return self._world.schedule.now < self.unavailable_until_s

    def report(self, event: RequestEvent | NodeEvent) -> None:
        """Report something, unless it is unavailable just then."""
        if not self.is_unavailable:
            self._take(event)

    def report_delay_s(self) -> float:
        """Return how late the next report is."""
        late = self._world.scenario.engine == "late"
        return self._world.schedule.dice.random() * (LATE_S if late else 0.01)

    def kill_delay_s(self) -> float:
        """Return how late the next process is ended."""
        return self._world.schedule.dice.random() * KILLS_LATE_S if self._world.scenario.engine == "late" else 0.0

    # ---- calls ------------------------------------------------------------------------------------------------------------

    def request(self, agent: int) -> None:
        """Grant a node at once, as long as no fault is due."""
        if self.is_unavailable:
            self._world.touched.add(agent)
            return
        if agent in self._requested:
            return
        self._requested.add(agent)
        answer = self.answers.popleft() if self.answers else ""
        schedule, timeout_s = self._world.schedule, self._world.settings.start_timeout_s
        if answer:
            self._world.touched.add(agent)
        match answer:
            case "refused_node":
                self.refused.add(agent)
                schedule.after(self.report_delay_s(), self.report, ev.RequestRefused(request=agent, reason=REFUSED))
            case "late_node" | "late_grant":
                if answer == "late_node":
                    schedule.after(self.report_delay_s(), self.report, ev.RequestPending(request=agent, reason="queued"))
                schedule.after(timeout_s + schedule.dice.random() * GRANTED_LATE_S, self._grant, agent, self.report)
            case _:
                self._grant(agent, self._take_now)

    def _grant(self, agent: int, report: Callable[[RequestEvent], None]) -> None:
        self._granted.add(agent)
        report(ev.NodeGranted(request=agent, node=node_of(agent), listen=f"agent-{agent}"))

    def start(self, agent: int) -> None:
        """Start an agent; once."""
        if self.is_unavailable:
            self._world.touched.add(agent)
        elif agent not in self._around.nodes:
            self._start(agent)

    def end(self, agent: int) -> None:
        """End an agent's node."""
        if not self.is_unavailable and agent in self._around.nodes:
            self._world.schedule.after(self.kill_delay_s(), self._around.end, self._around.nodes[agent])

    def release(self, agent: int) -> None:
        """Forget a node; what runs there is ended."""
        if not self.is_unavailable:
            self._granted.discard(agent)
            if agent in self._around.nodes and self._around.nodes[agent].alive:
                self.end(agent)

    # ---- what happens to it and to nodes ----------------------------------------------------------------------------------

    def node_ended(self, node: SimNode) -> None:
        """A process is gone; that is reported, or not."""
        if self._world.scenario.engine != "never" and not node.is_mute:
            ended = ev.NodeEnded(node=node_of(node.number), how="was killed", is_certain=True)
            self._world.schedule.after(self.report_delay_s(), self.report, ended)

    def refuse_start(self, agent: int) -> None:
        """An agent's process could not be started."""
        self.refused.add(agent)
        self.report(ev.StartRefused(node=node_of(agent), reason=REFUSED))

    def report_false_end(self, node: SimNode) -> None:
        """Report the end of a node that goes on, as far as the engine knows."""
        if not self.is_unavailable:
            self.false_ends.add(node.number)
            self.report(ev.NodeEnded(node=node_of(node.number), how="left its shell", is_certain=False))

    def drain(self, node: SimNode, how_long: int) -> None:
        """Report twice that a node will end, and end it then."""
        deadline_s = DRAINED_S[how_long % len(DRAINED_S)]
        drains = ev.NodeDraining(node=node_of(node.number), deadline_s=deadline_s, reason="preemption")
        self.report(drains)
        self.report(drains)
        self._world.schedule.after(deadline_s, self._around.end, node)

    def become_unavailable(self, how_long: int) -> None:
        """Nothing can be asked for some seconds, and what happens to nodes is not reported."""
        if not self.is_unavailable:
            seconds = UNAVAILABLE_S[how_long % len(UNAVAILABLE_S)]
            self._take(ev.EngineUnavailable(reason="no answer"))
            self.unavailable_until_s = self._world.schedule.now + seconds
            self._world.schedule.after(seconds, self._become_available)

    def _become_available(self) -> None:
        nodes = self._around.nodes
        held = [agent for agent in sorted(self._granted) if agent not in nodes or nodes[agent].alive]
        self._take(ev.EngineAvailable(nodes=tuple(node_of(agent) for agent in held)))
