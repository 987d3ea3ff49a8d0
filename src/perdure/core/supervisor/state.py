"""What the supervisor knows: the processes that the engine has started for it, and what was published."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from perdure.core import commands as do
from perdure.core.ids import NodeId
from perdure.core.job_events import FinishedEvent
from perdure.core.settings import Settings
from perdure.core.transitions import follow

HEARTBEAT_TIMEOUT_S: Final = 3.0
"""An orchestrator that sends nothing for so long is ended and replaced; it sends something every 0.1 s."""
END_TIMEOUT_S: Final = 3.0
"""An orchestrator whose end is not reported so long after it was to be ended is replaced all the same. Arbitrary."""
AFTER_A_LATE_TICK_S: Final = 1.0
"""After a tick that came late the orchestrator has so long to be heard. Arbitrary; two usual turns of a driver."""
LAST_WORDS_S: Final = 2.0
"""How long an orchestrator may be silent after the last node has ended. Arbitrary."""
STOPPED_S: Final = 3.0
"""A process that is stopped by a signal (SIGSTOP) for so long is ended, as a node that is silent for so long (`Settings.silence_s`)."""
MAX_RESTARTS: Final = 20
"""Of the orchestrator without a commit in between; arbitrary."""


class Phase(StrEnum):
    """STARTING: the first nodes come up. RUNNING: each of them is up or lost, and the program can be loaded."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


TRANSITIONS: Final = {
    Phase.STARTING: frozenset({Phase.RUNNING, Phase.ENDED}),
    Phase.RUNNING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset[Phase](),
}
"""The job as a whole."""


NO_NODE: Final = NodeId("")
"""Of an agent whose request is not granted."""


class AgentPhase(StrEnum):
    """REQUESTED: a node is asked of the engine. STARTING: the engine has granted it, and starts the agent. UP: the agent listens. ENDED:
    the engine has reported its end, or it was given up."""

    REQUESTED = "requested"
    STARTING = "starting"
    UP = "up"
    ENDED = "ended"


NOT_UP: Final = (AgentPhase.REQUESTED, AgentPhase.STARTING)
AGENT_TRANSITIONS: Final = {
    AgentPhase.REQUESTED: frozenset({AgentPhase.STARTING, AgentPhase.ENDED}),
    AgentPhase.STARTING: frozenset({AgentPhase.UP, AgentPhase.ENDED}),
    AgentPhase.UP: frozenset({AgentPhase.ENDED}),
    AgentPhase.ENDED: frozenset[AgentPhase](),
}
"""A node that comes back is a new agent."""


class OrchestratorPhase(StrEnum):
    """STARTING: asked of the engine. WAITING: the process runs. READING: it begins, and the register is read for it. SERVING: it receives
    what happens to nodes. ENDING: it is to be ended, and its end is not reported. ENDED: reported, or given up."""

    STARTING = "starting"
    WAITING = "waiting"
    READING = "reading"
    SERVING = "serving"
    ENDING = "ending"
    ENDED = "ended"


_ENDS: Final = frozenset({OrchestratorPhase.ENDING, OrchestratorPhase.ENDED})
ORCHESTRATOR_TRANSITIONS: Final = {
    OrchestratorPhase.STARTING: _ENDS | {OrchestratorPhase.WAITING},
    OrchestratorPhase.WAITING: _ENDS | {OrchestratorPhase.READING},
    OrchestratorPhase.READING: _ENDS | {OrchestratorPhase.SERVING},
    OrchestratorPhase.SERVING: _ENDS,
    OrchestratorPhase.ENDING: frozenset({OrchestratorPhase.ENDED}),
    OrchestratorPhase.ENDED: frozenset[OrchestratorPhase](),
}
"""One orchestrator's process."""


@dataclass(slots=True, kw_only=True)
class SupervisedAgent:
    """One agent, from the request for its node on.

    Attributes:
        node: its number in events.
        due: when the engine must have answered the request, or the agent must be up (s).
        is_first: its node is one of those that the job begins with.
        replaces: an agent that has ended, and whose node this one brings back; None: there is none.
        node_id: the engine's id of the node.
        pid: of its process, where it runs; 0: not reported yet.
        late: it was not up when it had to be.
        how: it ended.
        is_draining: the engine has reported that it will end the node.
        is_to_end: the engine was asked to end the node.
        is_released: the node is given back to the engine.
    """

    agent: int
    node: int
    due: float
    is_first: bool = False
    replaces: int | None = None
    node_id: NodeId = NO_NODE
    phase: AgentPhase = AgentPhase.REQUESTED
    pid: int = 0
    address: str = ""
    late: bool = False
    how: str = ""
    is_draining: bool = False
    is_to_end: bool = False
    is_released: bool = False

    def become(self, phase: AgentPhase) -> None:
        """Moves along `AGENT_TRANSITIONS`."""
        self.phase = follow(AGENT_TRANSITIONS, self.phase, phase, f"agent {self.agent}")


@dataclass(slots=True, kw_only=True)
class SupervisedOrchestrator:
    """One orchestrator's process. Its number is its round.

    Attributes:
        heard_at: when something came from it last; later than now: it may be silent until then and `HEARTBEAT_TIMEOUT_S` (s).
        end_due: when it is replaced although its end is not reported (s).
        is_within_message: a part of a message has come, and its rest has not.
        result: what it has sent of the result, in pieces.
        pids: node -> the process of the newest agent there that this orchestrator has published.
    """

    number: int
    phase: OrchestratorPhase = OrchestratorPhase.STARTING
    pid: int = 0
    heard_at: float = 0.0
    end_due: float = 0.0
    is_within_message: bool = False
    result: list[bytes] = field(default_factory=list)
    result_bytes: int = 0
    pids: dict[int, int] = field(default_factory=dict)

    def become(self, phase: OrchestratorPhase) -> None:
        """Moves along `ORCHESTRATOR_TRANSITIONS`."""
        self.phase = follow(ORCHESTRATOR_TRANSITIONS, self.phase, phase, f"orchestrator {self.number}")


@dataclass(slots=True, kw_only=True)
class SupervisorState:
    """The whole of it. Changed by `perdure.core.supervisor.step` only.

    Attributes:
        return_after_s: a lost node gets a new agent after so long; None: never.
        agents: all that there were, by their numbers, which are those of the requests for their nodes too.
        on_node: the engine's id of a node -> the agent there.
        is_loadable: some node has imported the program.
        returns: (when, agent that has ended) of requests for lost nodes.
        is_unavailable: the engine's control plane cannot be reached.
        last_words_due: when the job ends because no node is left; 0: some node is, or one comes back.
        last_words_bytes: of the result, that had come when that was set.
        current: the orchestrator that serves, or begins to. None: before the job has begun.
        standby: the next orchestrator, whose process waits or starts.
        may_prepare: the standby of this orchestrator was not started yet. One that cannot live is not started again and again.
        restarts: orchestrators that were lost since the last commit.
        stopped: processes that a signal has stopped, by ("agent" or "orchestrator", number) -> since when they are seen so (s).
        spent: injected faults that have happened, by index.
        announced: (node, pid) of agents that were published as started.
        lost: (node, pid) of agents that were published as lost.
        newest: generation, whether it is the end, and superstep of the newest commit that was published.
    """

    settings: Settings
    return_after_s: float | None = None
    phase: Phase = Phase.STARTING
    agents: dict[int, SupervisedAgent] = field(default_factory=dict)
    on_node: dict[NodeId, int] = field(default_factory=dict)
    is_loadable: bool = False
    returns: list[tuple[float, int]] = field(default_factory=list)
    is_unavailable: bool = False
    last_words_due: float = 0.0
    last_words_bytes: int = 0
    current: SupervisedOrchestrator | None = None
    standby: SupervisedOrchestrator | None = None
    rounds: int = 0
    may_prepare: bool = False
    restarts: int = 0
    stopped: dict[tuple[str, int], float] = field(default_factory=dict)
    looked_at: float = 0.0
    spent: set[int] = field(default_factory=set)
    announced: set[tuple[int, int]] = field(default_factory=set)
    lost: set[tuple[int, int]] = field(default_factory=set)
    newest: tuple[int, bool, int] = (0, False, -1)

    def become(self, phase: Phase) -> None:
        """Moves along `TRANSITIONS`."""
        self.phase = follow(TRANSITIONS, self.phase, phase, "the supervisor")

    def living(self) -> list[SupervisedAgent]:
        """Return the agents that have not ended."""
        return [agent for agent in self.agents.values() if agent.phase is not AgentPhase.ENDED]

    def all_ended(self) -> bool:
        """Has every agent ended?"""
        return not self.living()


def finish(state: SupervisorState, error: str, text: str, payload: bytes = b"") -> list[do.SupervisorCommand]:
    """The job is over: nothing that happens later changes that."""
    state.become(Phase.ENDED)
    return [do.Publish(event=FinishedEvent(status=error or "ok")), do.Finish(error=error, text=text, payload=payload)]
