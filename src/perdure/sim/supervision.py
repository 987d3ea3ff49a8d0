"""Does the supervisor keep its rules (L2 to L8)? Asked of each of its steps, from what it has received and what it does. The rules on its
engine (L1, L9) are in `sim.node_supervision`.

Nothing here looks at the machine's state: what it must remember is counted once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core import messages as msg
from perdure.core.job_events import AgentStartedEvent, CommittedEvent, JobEvent, NodeLostEvent, OrchestratorLostEvent
from perdure.sim.node_supervision import NodeSupervision

if TYPE_CHECKING:
    from perdure.sim.orchestrators import Orchestrator

RESTARTS_MAX: Final = 20
"""As rule L4 has it."""
OPEN: Final = (do.CreatePlan, do.NotePlan)
"""What the words of a replaced orchestrator may lead to (L5)."""


class SupervisionChecks:
    """What the supervisor has done so far, as far as it must not do it again."""

    def __init__(self, require: Callable[[bool, str, str], None], orchestrators: Mapping[int, Orchestrator]) -> None:
        self._require, self._orchestrators = require, orchestrators
        self.verdict: msg.ProgramJudged | None = None
        """The first one that the supervisor has received."""
        self._round = 0
        """Of the orchestrator that has begun last."""
        self._replaced: set[int] = set()
        self._sent: dict[int, list[msg.ToOrchestrator]] = {}
        self._lost_in_a_row = 0
        self._published: set[tuple[str, int, int]] = set()
        self._newest = (0, False, -1)
        self._nodes = NodeSupervision(require)

    def after(self, event: ev.SupervisorEvent, commands: list[do.SupervisorCommand]) -> None:
        """One step of the supervisor."""
        self._nodes.after(event, commands)
        if isinstance(event, ev.NodeReported) and isinstance(event.message, msg.ProgramJudged) and self.verdict is None:
            self.verdict = event.message
        if isinstance(event, ev.OrchestratorReported) and event.orchestrator in self._replaced:
            wrong = [command for command in commands if not isinstance(command, OPEN)]
            self._require(not wrong, "L5", f"{type(event.message).__name__} of orchestrator {event.orchestrator} leads to {wrong}")
        for command in commands:
            match command:
                case do.SendToOrchestrator(orchestrator=number, message=message):
                    self._is_sent(number, message)
                case do.Publish(event=published):
                    self._is_published(published)

    def _is_sent(self, number: int, message: msg.ToOrchestrator) -> None:
        """L3, L8: one begins at a time, with a higher round; it receives the register's plan first, and each fact of a node once."""
        sent = self._sent.setdefault(number, [])
        match message:
            case msg.BeginRound(round=begun):
                self._require(begun == number > self._round, "L3", f"orchestrator {number} begins after {self._round}")
                process = self._orchestrators[number]
                self._require(process.awake or not process.alive, "L3", f"orchestrator {number} is stopped, and begins")
                self._replaced |= self._sent.keys() - {number}
                self._round = number
            case msg.RegisterHolds():
                self._require(bool(sent), "L8", f"orchestrator {number} receives a plan before it begins")
            case _:
                knows = any(isinstance(one, msg.RegisterHolds) for one in sent)
                self._require(knows, "L8", f"orchestrator {number} receives {message} before what the register holds")
                self._require(number == self._round, "L3", f"orchestrator {number} receives {message}, and {self._round} has begun")
                self._require(message not in sent, "L8", f"orchestrator {number} receives {message} twice")
        if isinstance(message, msg.AgentEnded):
            is_known = any(isinstance(one, msg.AgentUp) and one.agent == message.agent for one in sent)
            self._require(is_known, "L8", f"orchestrator {number} receives {message}, and never that it was up")
        sent.append(message)

    def _is_published(self, event: JobEvent) -> None:
        """L4, L6."""
        match event:
            case OrchestratorLostEvent():
                self._lost_in_a_row += 1
                self._replaced |= self._sent.keys()
                text = f"{self._lost_in_a_row} orchestrators were lost, and nothing was committed"
                self._require(self._lost_in_a_row <= RESTARTS_MAX + 1, "L4", text)
            case CommittedEvent(generation=generation, end=end, superstep=superstep):
                self._lost_in_a_row = 0
                label = (generation, end, superstep)
                self._require(label > self._newest, "L6", f"{label} is published as committed after {self._newest}")
                self._newest = label
            case AgentStartedEvent(node=node, pid=pid):
                self._once("agent_started", node, pid)
            case NodeLostEvent(node=node):
                self._once("node_lost", node, 0)

    def _once(self, name: str, node: int, pid: int) -> None:
        self._require((name, node, pid) not in self._published, "L6", f"{name} of node {node} is published twice")
        self._published.add((name, node, pid))
