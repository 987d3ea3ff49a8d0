"""What does a job publish about itself? One record for each event; `docs/events.md` is generated from these classes.

1. A producer makes an event: the orchestrator with the command `Publish`, the supervising process and the engine `threads` directly.
2. The process that the user started adds the time (`TimedEvent`).
3. Readers inside perdure (the report, the displays, campaigns) match on the classes.
4. Programs and users read the JSON form (`perdure.wire.event_json`): `perdure run --events`, `perdure.run(on_event=...)`.

The JSON form is a public format. The name of an event there is the name of its class in lower case, without `Event`: `NodeLostEvent` is
`node_lost`. A field without a default is always there, and null where it is None; a field with the default None is absent where it is None.

Readers ignore events and fields that they do not know, so a new one keeps `FORMAT_VERSION`. Any other change increases it.
"""

from __future__ import annotations

import re
import typing
from typing import Annotated, Final

from perdure.core.imbalance import Imbalance
from perdure.core.interval import Choice
from perdure.core.records import Record

FORMAT_VERSION: Final = 1
"""`v` in the JSON form."""

# Types with the texts of docs/events.md. A field that needs a text of its own has it at its place.
Node = Annotated[int, "the number of the node"]
Rank = Annotated[int, "the rank"]
Pid = Annotated[int, "the process id on its host"]
Reason = Annotated[str, "why, as a phrase"]
Generation = Annotated[int, "the number of the generation, from 1 on"]
LabelSuperstep = Annotated[int, "the superstep of the commit; 2^62 where `end` is true"]
IsEnd = Annotated[bool, "the commit is that of the end, with what `main` returned"]
ChunkKind = Annotated[str, "`data`, `parity` or `replicated`"]
ChunkNumber = Annotated[int, "its number among the chunks of this kind, from 0 on"]

# ---- the job -----------------------------------------------------------------------------------------------------------------


class StartedEvent(Record, frozen=True, kw_only=True):
    """The job starts; no process of it runs yet."""

    job: Annotated[str, "the identifier of the job, 32 hexadecimal digits; part of the addresses of its agents"]


class UnprotectedEvent(Record, frozen=True, kw_only=True):
    """The job has no parity although none was asked for: it has one rank."""

    reason: Annotated[str, "what can be lost and what cannot, as a sentence"]


class GroupSizeEvent(Record, frozen=True, kw_only=True):
    """The size of the parity groups is chosen (`--group-size auto`)."""

    size: Annotated[int, "ranks that share parity"]
    reason: Annotated[str, "why, as a sentence with the numbers"]


class FinishedEvent(Record, frozen=True, kw_only=True):
    """The job is over. It is the last event."""

    status: Annotated[str, "`ok`, or the name of the error that `perdure.run` raises"]


class EventsDroppedEvent(Record, frozen=True, kw_only=True):
    """Events are missing here, because their reader did not read and the queue was full."""

    count: Annotated[int, "events that are missing"]


# ---- supersteps and commits ---------------------------------------------------------------------------------------------------


class ProgressEvent(Record, frozen=True, kw_only=True):
    """The ranks compute. Published some times a second."""

    superstep: Annotated[int, "the superstep that is computed"]
    count: Annotated[int | None, "supersteps of the program; absent where the program does not say"] = None


class CommittedEvent(Record, frozen=True, kw_only=True):
    """A commit is complete: all ranks have prepared it."""

    superstep: Annotated[int, "the superstep that begins with the committed state; at the end, the supersteps that the program did"]
    generation: Generation
    digests: Annotated[
        dict[str, tuple[str, ...]], "for each declared item the digest on each rank, in the order of ranks, 16 hexadecimal digits"
    ]
    end: IsEnd
    protect_s: Annotated[float, "seconds that the commit held up the rank that waited longest"]
    application_bytes: Annotated[int, "bytes that the program sent between ranks since the commit before"]
    live_bytes: Annotated[int, "bytes of the declared items, of all ranks"]
    resident_bytes: Annotated[int, "of `live_bytes`, those that lie in a snapshot slot (`--memory tight`)"]
    snapshot_bytes: Annotated[int, "bytes of one snapshot, of all ranks"]
    parity_bytes: Annotated[int, "bytes of one set of parity chunks, of all ranks"]
    uneven: Annotated[Imbalance | None, "what parity costs because states differ in size; null where it is little"]
    interval: Annotated[Choice | None, "the interval to the next commit but one, and what it follows from; null where it was asked for"]


class CrossingEvent(Record, frozen=True, kw_only=True):
    """A message or a request crosses a commit (`--on-crossing warn`). A recovery from this commit ends the job."""

    superstep: Annotated[int, "the superstep of the commit"]
    what: Annotated[str, "what crosses it, between which ranks, as a phrase"]


class DivergedEvent(Record, frozen=True, kw_only=True):
    """A replicated item is not the same on all ranks at a commit. Published when this changes."""

    superstep: LabelSuperstep
    end: IsEnd
    item: Annotated[str, "the name of the item"]
    ranks: Annotated[tuple[int, ...], "ranks that differ from the majority; all ranks where there is none"]
    majority: Annotated[bool, "more than half of the ranks agree"]


class TrafficEvent(Record, frozen=True, kw_only=True):
    """All nodes have reported what they sent. Published once, before `finished`."""

    parity: Annotated[int, "bytes sent to encode parity"]
    rebuild: Annotated[int, "bytes sent to rebuild what was lost"]


# ---- nodes and processes --------------------------------------------------------------------------------------------------------


class AgentStartedEvent(Record, frozen=True, kw_only=True):
    """The agent of a node is up. The node is a spare until a generation gives it ranks."""

    node: Node
    pid: Annotated[int, "the process id of the agent on its host"]


class NodeSuspectedEvent(Record, frozen=True, kw_only=True):
    """A node has been silent for a while. Nothing follows from it yet."""

    node: Node


class NodeHeardEvent(Record, frozen=True, kw_only=True):
    """A node that was silent is heard again, before it was lost."""

    node: Node


class NodeLostEvent(Record, frozen=True, kw_only=True):
    """A node is lost for good. Where it comes back, it is a new agent with nothing."""

    node: Node
    reason: Reason
    silent_s: Annotated[float | None, "seconds of silence that were the reason; absent for other reasons"] = None


class NodeReturnedEvent(Record, frozen=True, kw_only=True):
    """A node that was lost is started again, as an empty spare (`--return-after`)."""

    node: Node


class NodePendingEvent(Record, frozen=True, kw_only=True):
    """The engine will have a node later. Neither the engine `local` nor `hosts` publishes this."""

    node: Node
    reason: Reason


class NodeDrainingEvent(Record, frozen=True, kw_only=True):
    """The engine will end a node. Its ranks stay there until then. Neither the engine `local` nor `hosts` publishes this."""

    node: Node
    deadline_s: Annotated[float | None, "seconds until the end of the node; null: unknown"]
    reason: Reason


class EngineUnavailableEvent(Record, frozen=True, kw_only=True):
    """The engine's control plane cannot be reached. The job goes on. Neither the engine `local` nor `hosts` publishes this."""

    reason: Reason


class EngineAvailableEvent(Record, frozen=True, kw_only=True):
    """The engine's control plane can be reached again."""


class WorkerStartedEvent(Record, frozen=True, kw_only=True):
    """A process for a rank is started."""

    rank: Rank
    node: Node
    pid: Pid
    incarnation: Annotated[int, "how many processes the rank has had, this one included"]
    generation: Generation


class WorkerLostEvent(Record, frozen=True, kw_only=True):
    """The process of a rank is lost. Its node lives, with the memory of the rank."""

    rank: Rank
    reason: Reason


class LinkLostEvent(Record, frozen=True, kw_only=True):
    """The connection between two ranks failed although both live. The generation ends, and all ranks connect anew."""

    rank: Annotated[int, "the rank that reported it"]
    other: Annotated[int, "the rank at the other end"]


class OrchestratorStartedEvent(Record, frozen=True, kw_only=True):
    """An orchestrator takes over, the first one included."""

    pid: Pid


class OrchestratorLostEvent(Record, frozen=True, kw_only=True):
    """The orchestrator is lost. The next one takes over; the ranks go on computing."""

    reason: Reason


class FaultEvent(Record, frozen=True, kw_only=True):
    """An injected fault strikes (`--fault`)."""

    fault: Annotated[str, "the fault, as `--fault` has it"]
    pid: Annotated[int | None, "the process that it strikes; present for the kinds `process` and `freeze`"] = None
    what: Annotated[str | None, "what this process is, as a phrase; present together with `pid`"] = None


class ShellOutputEvent(Record, frozen=True, kw_only=True):
    """The shell that starts a node has printed a line, such as the greeting of a login shell."""

    node: Node
    text: Annotated[str, "the line"]


# ---- recoveries ---------------------------------------------------------------------------------------------------------------


class WaitingEvent(Record, frozen=True, kw_only=True):
    """The job waits for silent nodes, because it cannot go on without what they hold."""

    nodes: Annotated[tuple[int, ...], "the numbers of the nodes"]
    patience_s: Annotated[float, "seconds after which the job ends"]


class ProposedEvent(Record, frozen=True, kw_only=True):
    """The members are asked for their votes on the plan of the next generation."""

    generation: Generation


class GenerationStartedEvent(Record, frozen=True, kw_only=True):
    """The plan of a generation is chosen. Ranks that have lost their memory are rebuilt next."""

    generation: Generation
    placement: Annotated[dict[int, int], "the node of each rank; beyond 64 agents, and from generation 2 on, only of ranks that moved"]
    degraded: Annotated[bool, "the job has less redundancy than it was asked for"]
    why: Annotated[str, "which ranks of one parity group share a node, as a phrase; else empty"]
    risk: Annotated[str, "the single loss that would be too much, as a sentence; else empty"]


class CustodianEvent(Record, frozen=True, kw_only=True):
    """A node that the job goes on without is heard again. What it keeps can be read until the next commit."""

    node: Node
    ranks: Annotated[tuple[int, ...], "ranks whose chunks it keeps"]
    superstep: LabelSuperstep
    end: IsEnd


class RebuiltEvent(Record, frozen=True, kw_only=True):
    """The memory of a rank is rebuilt from parity."""

    rank: Rank
    bytes: Annotated[int, "bytes that were rebuilt"]
    seconds: Annotated[float, "seconds that it took"]


class ResumedEvent(Record, frozen=True, kw_only=True):
    """`main` is entered on all ranks, at the start and after each recovery."""

    superstep: Annotated[int, "the superstep from which the ranks compute"]
    generation: Generation


class HoldEvent(Record, frozen=True, kw_only=True):
    """Ranks that share a node are going to move to a spare. All ranks wait at the next commit."""

    why: Annotated[str, "which node holds too many ranks and which holds none, as a phrase"]


# ---- memory that is wrong -----------------------------------------------------------------------------------------------------


class ChunksLostEvent(Record, frozen=True, kw_only=True):
    """Chunks of a rank are missing or corrupt, so a new recovery begins."""

    rank: Rank


class ChunkWrongEvent(Record, frozen=True, kw_only=True):
    """A chunk does not have its digest: silent data corruption."""

    rank: Rank
    superstep: LabelSuperstep
    end: IsEnd
    what: ChunkKind
    chunk: ChunkNumber


class ChunkRepairedEvent(Record, frozen=True, kw_only=True):
    """A corrupt chunk is rebuilt from parity, and has its digest again."""

    rank: Rank
    superstep: LabelSuperstep
    end: IsEnd
    what: ChunkKind
    chunk: ChunkNumber


class ChunkUnrepairedEvent(Record, frozen=True, kw_only=True):
    """A corrupt chunk cannot be rebuilt now. The next commit replaces it."""

    rank: Rank
    superstep: LabelSuperstep
    end: IsEnd
    what: ChunkKind
    chunk: ChunkNumber


JobEvent = (
    StartedEvent | UnprotectedEvent | GroupSizeEvent | FinishedEvent | EventsDroppedEvent
    | ProgressEvent | CommittedEvent | CrossingEvent | DivergedEvent | TrafficEvent
    | AgentStartedEvent | NodeSuspectedEvent | NodeHeardEvent | NodeLostEvent | NodeReturnedEvent | WorkerStartedEvent | WorkerLostEvent
    | LinkLostEvent | OrchestratorStartedEvent | OrchestratorLostEvent | FaultEvent | ShellOutputEvent
    | WaitingEvent | ProposedEvent | GenerationStartedEvent | CustodianEvent | RebuiltEvent | ResumedEvent | HoldEvent
    | ChunksLostEvent | ChunkWrongEvent | ChunkRepairedEvent | ChunkUnrepairedEvent
    | NodePendingEvent | NodeDrainingEvent | EngineUnavailableEvent | EngineAvailableEvent
)  # fmt: skip


class TimedEvent(Record, frozen=True, kw_only=True):
    """An event and its time: `t`, seconds since the start of the job."""

    t: float
    event: JobEvent


def name_of(event: JobEvent) -> str:
    """Return the name of the event in the JSON form."""
    return _NAMES[type(event)]


def name_of_type(kind: type[JobEvent]) -> str:
    """Return the name in the JSON form of the events of this class."""
    return re.sub("(?<!^)(?=[A-Z])", "_", kind.__name__.removesuffix("Event")).lower()


EVENT_TYPES: Final[dict[str, type[JobEvent]]] = {name_of_type(kind): kind for kind in typing.get_args(JobEvent)}
"""The classes by the names of their events, in the order of `docs/events.md`."""
_NAMES: Final[dict[type[JobEvent], str]] = {kind: name for name, kind in EVENT_TYPES.items()}
