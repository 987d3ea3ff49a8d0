"""What the supervisor and the processes that it has started send to one another, on the stream that each of them has with it.

A node's processes share one stream. What the supervisor sends to an orchestrator is what happens to that one, and what the orchestrator
sends is what it wants done, so these classes are events and commands of that machine as well (`core.events`, `core.commands`).
"""

from __future__ import annotations

from perdure.core.job_events import JobEvent
from perdure.core.plan import Plan
from perdure.core.records import Record

# ---- from a node ----------------------------------------------------------------------------------------------------------


class NodeBegun(Record, frozen=True, kw_only=True):
    """The first process of the node runs. `pid`: its number there."""

    pid: int


class NodeListens(Record, frozen=True, kw_only=True):
    """The agent can be reached at `address`."""

    address: str


class ProgramJudged(Record, frozen=True, kw_only=True):
    """The node has imported the program, or could not: `error` is empty, or a name of `perdure.errors`."""

    error: str
    text: str


class NodeExited(Record, frozen=True, kw_only=True):
    """The node's first process has ended. Sent by the far end of a shell, which ends later."""

    how: str


class StrayOutput(Record, frozen=True, kw_only=True):
    """A line on a node's stream that is no message: the greeting of a login shell, most likely."""

    text: str


class FaultStruck(Record, frozen=True, kw_only=True):
    """An injected fault happens in the sending process. `index`: its place in the job's list; `at`: s, monotonic, of that machine."""

    index: int
    at: float


# ---- to a node ------------------------------------------------------------------------------------------------------------


class FaultSpent(Record, frozen=True, kw_only=True):
    """An injected fault has happened somewhere, and must not happen again."""

    index: int


# ---- from an orchestrator -------------------------------------------------------------------------------------------------


class OrchestratorAlive(Record, frozen=True, kw_only=True):
    """Sent every 0.1 s: its loop turns."""


class Propose(Record, frozen=True, kw_only=True):
    """create_if_absent in the register; `RegisterHolds` follows."""

    plan: Plan


class Note(Record, frozen=True, kw_only=True):
    """Tell the register of a plan that was chosen by votes, for who asks it later. Nothing depends on it (rule D5)."""

    plan: Plan


class KillAgent(Record, frozen=True, kw_only=True):
    """Fence a node that was decided lost: have the engine end its processes."""

    agent: int


class Publish(Record, frozen=True, kw_only=True):
    """Publish an event of the job to its readers."""

    event: JobEvent


class ResultPiece(Record, frozen=True, kw_only=True):
    """The next bytes of the result, which `Finish` completes."""

    data: bytes


class Finish(Record, frozen=True, kw_only=True):
    """The job is over: `error` is empty, or a name of `perdure.errors`. `payload`: the result, without the pieces sent before."""

    error: str
    text: str
    payload: bytes


# ---- to an orchestrator ---------------------------------------------------------------------------------------------------


class BeginRound(Record, frozen=True, kw_only=True):
    """The receiver serves the job from now on. `round`: higher than any before; `spent`: injected faults that have happened."""

    round: int
    spent: tuple[int, ...]


class RegisterHolds(Record, frozen=True, kw_only=True):
    """The register's newest plan, or None: at the start, and as the answer to a proposal (rule D5)."""

    plan: Plan | None


class AgentUp(Record, frozen=True, kw_only=True):
    """The engine started an agent."""

    agent: int
    node: int
    address: str
    pid: int


class AgentEnded(Record, frozen=True, kw_only=True):
    """The agent's process is gone for certain."""

    agent: int
    how: str


class NoMoreNodes(Record, frozen=True, kw_only=True):
    """The engine has started all nodes of the job that it could."""


FromNode = NodeBegun | NodeListens | ProgramJudged | NodeExited | StrayOutput | FaultStruck
ToNode = FaultSpent
FromOrchestrator = OrchestratorAlive | Propose | Note | KillAgent | Publish | ResultPiece | Finish | FaultStruck
ToOrchestrator = BeginRound | RegisterHolds | AgentUp | AgentEnded | NoMoreNodes
StreamMessage = FromNode | ToNode | FromOrchestrator | ToOrchestrator
