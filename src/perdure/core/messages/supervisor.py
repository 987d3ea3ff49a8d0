"""Messages between the supervisor and the processes that it starts, on one stream per node or orchestrator.

The processes of a node share one stream. Messages to an orchestrator are also events of its state machine, and messages from an
orchestrator are also its commands (`core.events`, `core.commands`).
"""

from __future__ import annotations

from perdure.core.job_events import JobEvent
from perdure.core.plan import Plan
from perdure.core.records import Record

# ---- from a node ----------------------------------------------------------------------------------------------------------


class NodeBegun(Record, frozen=True, kw_only=True):
    """The first process of the node runs; `pid` is its process id there (rule L1)."""

    pid: int


class NodeListens(Record, frozen=True, kw_only=True):
    """The agent of the node listens at `address` (rule L1)."""

    address: str


class NodeMisconfigured(Record, frozen=True, kw_only=True):
    """The agent of the node cannot run with its configuration, and ends: it cannot listen at the address of its host, for example (rule
    L1)."""

    text: str


class ProgramJudged(Record, frozen=True, kw_only=True):
    """The node has imported the program; `error` is empty, or the name of a class in `perdure.errors` (rule L2)."""

    error: str
    text: str


class NodeExited(Record, frozen=True, kw_only=True):
    """The first process of the node exited; sent by the far end of a shell, which exits later (rule T1)."""

    how: str


class StrayOutput(Record, frozen=True, kw_only=True):
    """A line on a node's stream that is not a message, such as the greeting of a login shell."""

    text: str


class FaultStruck(Record, frozen=True, kw_only=True):
    """An injected fault strikes in the sending process (rule L6). `index`: in the job's list of faults; `at`: monotonic time there, in
    s."""

    index: int
    at: float


# ---- to a node ------------------------------------------------------------------------------------------------------------


class FaultSpent(Record, frozen=True, kw_only=True):
    """An injected fault has struck in some process, and must not strike again (rule L6)."""

    index: int


# ---- from an orchestrator -------------------------------------------------------------------------------------------------


class OrchestratorAlive(Record, frozen=True, kw_only=True):
    """A sign of life, every 0.1 s (rule L3)."""


class Propose(Record, frozen=True, kw_only=True):
    """Create this plan in the register if the generation has none; the answer is `RegisterHolds` (rule D0)."""

    plan: Plan


class Note(Record, frozen=True, kw_only=True):
    """Record a plan that votes have chosen in the register, for later orchestrators (rule D5)."""

    plan: Plan


class KillAgent(Record, frozen=True, kw_only=True):
    """Fence a lost node: let the engine end its processes (rules D6, L5)."""

    agent: int


class Publish(Record, frozen=True, kw_only=True):
    """Publish an event of the job to its readers (rules L5, L6)."""

    event: JobEvent


class ResultPiece(Record, frozen=True, kw_only=True):
    """The next bytes of the result, which `Finish` completes (rule L7)."""

    data: bytes


class Finish(Record, frozen=True, kw_only=True):
    """The job is over; `error` is empty, or the name of a class in `perdure.errors` (rule L5). `payload`: the rest of the result."""

    error: str
    text: str
    payload: bytes


# ---- to an orchestrator ---------------------------------------------------------------------------------------------------


class BeginRound(Record, frozen=True, kw_only=True):
    """Serve the job from now on (rule L3). `round` is higher than any before; `spent`: injected faults that have struck."""

    round: int
    spent: tuple[int, ...]


class RegisterHolds(Record, frozen=True, kw_only=True):
    """The newest plan in the register, or None; sent at the start, and as the answer to a proposal (rules D0, L8)."""

    plan: Plan | None


class AgentUp(Record, frozen=True, kw_only=True):
    """The engine started an agent (rules L1, L8)."""

    agent: int
    node: int
    address: str
    pid: int


class AgentEnded(Record, frozen=True, kw_only=True):
    """The agent's process has exited for certain (rules T1, L8)."""

    agent: int
    how: str


class NoMoreNodes(Record, frozen=True, kw_only=True):
    """The engine has started all nodes that it could start (rules L1, L8)."""


FromNode = NodeBegun | NodeListens | NodeMisconfigured | ProgramJudged | NodeExited | StrayOutput | FaultStruck
ToNode = FaultSpent
FromOrchestrator = OrchestratorAlive | Propose | Note | KillAgent | Publish | ResultPiece | Finish | FaultStruck
ToOrchestrator = BeginRound | RegisterHolds | AgentUp | AgentEnded | NoMoreNodes
StreamMessage = FromNode | ToNode | FromOrchestrator | ToOrchestrator
