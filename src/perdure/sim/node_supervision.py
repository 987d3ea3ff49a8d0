"""Does the supervisor treat its engine as the rules L1 and L9 have it? Asked of each of its steps.

Nothing here looks at the machine's state: what it must remember is counted once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.ids import NodeId
from perdure.core.job_events import NodeDrainingEvent


class NodeSupervision:
    """What was asked of the engine, and what it has answered."""

    def __init__(self, require: Callable[[bool, str, str], None]) -> None:
        self._require = require
        self._open: set[int] = set()
        """Requests without an answer."""
        self._pending: set[int] = set()
        """Requests of which the engine has reported that they take their time."""
        self._cancelled: set[int] = set()
        self._agents: dict[NodeId, int] = {}
        self._begun: set[int] = set()
        """Agents of which something was received."""
        self._to_end: set[int] = set()
        """Agents whose nodes the engine was asked to end."""
        self._released: set[int] = set()
        self._drains: Counter[int] = Counter()

    def after(self, event: ev.SupervisorEvent, commands: list[do.SupervisorCommand]) -> None:
        """One step of the supervisor."""
        if any(isinstance(command, do.Finish) for command in commands):
            return  # the engine is closed
        self._answered(event, commands)
        for command in commands:
            self._asked(command)

    def _asked(self, command: do.SupervisorCommand) -> None:
        match command:
            case do.RequestNode(agent=agent):
                self._open.add(agent)
            case do.CancelRequest(agent=agent):
                self._require(agent not in self._pending, "L1", f"the request for agent {agent} is pending, and is given up")
                self._open.discard(agent)
                self._cancelled.add(agent)
            case do.EndNode(agent=agent):
                self._to_end.add(agent)
            case do.ReleaseNode(agent=agent):
                self._released.add(agent)
            case do.Publish(event=NodeDrainingEvent(node=node)):
                self._drains[node] += 1
                self._require(self._drains[node] == 1, "L9", f"it is published {self._drains[node]} times that node {node} drains")

    def _answered(self, event: ev.SupervisorEvent, commands: list[do.SupervisorCommand]) -> None:
        match event:
            case ev.NodeGranted(request=agent, node=node):
                self._agents[node] = agent
                self._close(agent)
                if agent in self._cancelled:
                    self._must(do.ReleaseNode(agent=agent), commands, "L1", "it is granted too late")
            case ev.RequestPending(request=agent) if agent in self._open:
                self._pending.add(agent)
            case ev.RequestRefused(request=agent):
                self._close(agent)
            case ev.NodeReported(agent=agent, message=msg.NodeBegun()):
                self._begun.add(agent)
            case ev.NodeEnded(node=node, is_certain=is_certain) if node in self._agents:
                agent = self._agents[node]
                self._must(do.ReleaseNode(agent=agent), commands, "L9", "its end is reported")
                if not is_certain and agent not in self._to_end | self._released:
                    self._must(do.EndNode(agent=agent), commands, "L9", "it may run on")
            case ev.EngineUnavailable():
                self._pending.clear()
            case ev.EngineAvailable(nodes=held):
                self._available({*held}, commands)

    def _close(self, agent: int) -> None:
        self._open.discard(agent)
        self._pending.discard(agent)

    def _available(self, held: set[NodeId], commands: list[do.SupervisorCommand]) -> None:
        """L9: whatever the engine may have lost is repeated."""
        for agent in self._open:
            repeated = any(isinstance(command, do.RequestNode) and command.agent == agent for command in commands)
            self._require(repeated, "L9", f"the engine is available, and agent {agent} is not requested again")
        for node, agent in self._agents.items():
            if agent in self._released:
                continue
            if node not in held and agent not in self._to_end:
                self._must(do.ReleaseNode(agent=agent), commands, "L9", "it has ended while the engine was unavailable")
            elif node in held and agent in self._to_end:
                self._must(do.EndNode(agent=agent), commands, "L9", "it was to be ended, and runs")
            elif node in held and agent not in self._begun:
                started = any(isinstance(command, do.StartNode) and command.agent == agent for command in commands)
                self._require(started, "L9", f"agent {agent} is not started again, and may never have been")

    def _must(self, command: do.SupervisorCommand, commands: list[do.SupervisorCommand], rule: str, why: str) -> None:
        self._require(command in commands, rule, f"{command} does not follow: {why}")
