"""Messages between the orchestrator, agents, workers and the supervisor. `perdure.wire` encodes them.

Each message is a frozen dataclass. The first paragraph of its docstring and its rules are printed in the table of docs/protocol.md.
`Prepared`, `Committed` and `Resume` are facts: once true they stay true, any process may repeat them, and duplicates change nothing.
"""

from __future__ import annotations

from perdure.core.messages.agent import (
    Accepted as Accepted,
)
from perdure.core.messages.agent import (
    AgentStatus as AgentStatus,
)
from perdure.core.messages.agent import (
    Alive as Alive,
)
from perdure.core.messages.agent import (
    AskAddresses as AskAddresses,
)
from perdure.core.messages.agent import (
    ChunksLost as ChunksLost,
)
from perdure.core.messages.agent import (
    ChunksRepaired as ChunksRepaired,
)
from perdure.core.messages.agent import (
    ChunksWrong as ChunksWrong,
)
from perdure.core.messages.agent import (
    Custody as Custody,
)
from perdure.core.messages.agent import (
    Gathered as Gathered,
)
from perdure.core.messages.agent import (
    GroupOffer as GroupOffer,
)
from perdure.core.messages.agent import (
    Heartbeat as Heartbeat,
)
from perdure.core.messages.agent import (
    Installed as Installed,
)
from perdure.core.messages.agent import (
    InstalledPlan as InstalledPlan,
)
from perdure.core.messages.agent import (
    JobError as JobError,
)
from perdure.core.messages.agent import (
    Newer as Newer,
)
from perdure.core.messages.agent import (
    Offered as Offered,
)
from perdure.core.messages.agent import (
    PeerHeard as PeerHeard,
)
from perdure.core.messages.agent import (
    PeerSilent as PeerSilent,
)
from perdure.core.messages.agent import (
    PeerUnheard as PeerUnheard,
)
from perdure.core.messages.agent import (
    Prepared as Prepared,
)
from perdure.core.messages.agent import (
    Progress as Progress,
)
from perdure.core.messages.agent import (
    Raised as Raised,
)
from perdure.core.messages.agent import (
    RankLinkEnded as RankLinkEnded,
)
from perdure.core.messages.agent import (
    Ready as Ready,
)
from perdure.core.messages.agent import (
    Rebuilt as Rebuilt,
)
from perdure.core.messages.agent import (
    Result as Result,
)
from perdure.core.messages.agent import (
    Sealed as Sealed,
)
from perdure.core.messages.agent import (
    StillGathering as StillGathering,
)
from perdure.core.messages.agent import (
    Traffic as Traffic,
)
from perdure.core.messages.agent import (
    WorkerLost as WorkerLost,
)
from perdure.core.messages.agent import (
    WorkerStarted as WorkerStarted,
)
from perdure.core.messages.orchestrator import (
    Accept as Accept,
)
from perdure.core.messages.orchestrator import (
    Amend as Amend,
)
from perdure.core.messages.orchestrator import (
    AskAlive as AskAlive,
)
from perdure.core.messages.orchestrator import (
    AskPlan as AskPlan,
)
from perdure.core.messages.orchestrator import (
    AskResult as AskResult,
)
from perdure.core.messages.orchestrator import (
    Assign as Assign,
)
from perdure.core.messages.orchestrator import (
    Committed as Committed,
)
from perdure.core.messages.orchestrator import (
    EndJob as EndJob,
)
from perdure.core.messages.orchestrator import (
    Greet as Greet,
)
from perdure.core.messages.orchestrator import (
    Hold as Hold,
)
from perdure.core.messages.orchestrator import (
    Install as Install,
)
from perdure.core.messages.orchestrator import (
    Reserve as Reserve,
)
from perdure.core.messages.orchestrator import (
    Resume as Resume,
)
from perdure.core.messages.orchestrator import (
    Seal as Seal,
)
from perdure.core.messages.supervisor import (
    AgentEnded as AgentEnded,
)
from perdure.core.messages.supervisor import (
    AgentUp as AgentUp,
)
from perdure.core.messages.supervisor import (
    BeginRound as BeginRound,
)
from perdure.core.messages.supervisor import (
    FaultSpent as FaultSpent,
)
from perdure.core.messages.supervisor import (
    FaultStruck as FaultStruck,
)
from perdure.core.messages.supervisor import (
    Finish as Finish,
)
from perdure.core.messages.supervisor import (
    FromNode as FromNode,
)
from perdure.core.messages.supervisor import (
    FromOrchestrator as FromOrchestrator,
)
from perdure.core.messages.supervisor import (
    KillAgent as KillAgent,
)
from perdure.core.messages.supervisor import (
    NodeBegun as NodeBegun,
)
from perdure.core.messages.supervisor import (
    NodeExited as NodeExited,
)
from perdure.core.messages.supervisor import (
    NodeListens as NodeListens,
)
from perdure.core.messages.supervisor import (
    NodeMisconfigured as NodeMisconfigured,
)
from perdure.core.messages.supervisor import (
    NoMoreNodes as NoMoreNodes,
)
from perdure.core.messages.supervisor import (
    Note as Note,
)
from perdure.core.messages.supervisor import (
    OrchestratorAlive as OrchestratorAlive,
)
from perdure.core.messages.supervisor import (
    ProgramJudged as ProgramJudged,
)
from perdure.core.messages.supervisor import (
    Propose as Propose,
)
from perdure.core.messages.supervisor import (
    Publish as Publish,
)
from perdure.core.messages.supervisor import (
    RegisterHolds as RegisterHolds,
)
from perdure.core.messages.supervisor import (
    ResultPiece as ResultPiece,
)
from perdure.core.messages.supervisor import (
    StrayOutput as StrayOutput,
)
from perdure.core.messages.supervisor import (
    StreamMessage as StreamMessage,
)
from perdure.core.messages.supervisor import (
    ToNode as ToNode,
)
from perdure.core.messages.supervisor import (
    ToOrchestrator as ToOrchestrator,
)
from perdure.core.messages.values import (
    Chunks as Chunks,
)
from perdure.core.messages.values import (
    Custodian as Custodian,
)
from perdure.core.messages.values import (
    DecodeTask as DecodeTask,
)
from perdure.core.messages.values import (
    ItemDigest as ItemDigest,
)
from perdure.core.messages.values import (
    LabelReport as LabelReport,
)
from perdure.core.messages.values import (
    RankCosts as RankCosts,
)
from perdure.core.messages.values import (
    RankReport as RankReport,
)
from perdure.core.messages.values import (
    Reach as Reach,
)
from perdure.core.messages.values import (
    RestoreSource as RestoreSource,
)
from perdure.core.messages.values import (
    UsualLabel as UsualLabel,
)
from perdure.core.messages.values import (
    Vote as Vote,
)
from perdure.core.messages.worker import (
    AtPosition as AtPosition,
)
from perdure.core.messages.worker import (
    BaseWrong as BaseWrong,
)
from perdure.core.messages.worker import (
    EndWorker as EndWorker,
)
from perdure.core.messages.worker import (
    Enter as Enter,
)
from perdure.core.messages.worker import (
    LabelCommitted as LabelCommitted,
)
from perdure.core.messages.worker import (
    Loaded as Loaded,
)
from perdure.core.messages.worker import (
    MainRaised as MainRaised,
)
from perdure.core.messages.worker import (
    MayCopy as MayCopy,
)
from perdure.core.messages.worker import (
    Pause as Pause,
)
from perdure.core.messages.worker import (
    PeerSuspected as PeerSuspected,
)
from perdure.core.messages.worker import (
    Revoke as Revoke,
)
from perdure.core.messages.worker import (
    Snapped as Snapped,
)
from perdure.core.messages.worker import (
    Unwound as Unwound,
)

ToAgent = Greet | Seal | Accept | AskPlan | Install | Amend | Assign | Resume | Committed | Hold | Reserve | AskResult | AskAlive | EndJob
FromAgent = (
    Gathered | StillGathering | AgentStatus | Sealed | Accepted | Newer | InstalledPlan | Installed | Ready | Offered | Prepared | Traffic
    | Rebuilt | ChunksLost | ChunksWrong | ChunksRepaired
    | WorkerStarted | WorkerLost | RankLinkEnded | AskAddresses | Raised | JobError
    | PeerUnheard | PeerSilent | PeerHeard | Progress | Result | Alive | Heartbeat | Custody
)  # fmt: skip
Relayed = Seal | Accept | Install | Amend | Resume
ToPeer = Heartbeat | GroupOffer | Prepared | Relayed | Gathered | StillGathering | Progress
ToWorker = Enter | MayCopy | LabelCommitted | Revoke | Pause | EndWorker
FromWorker = Loaded | AtPosition | Snapped | Unwound | MainRaised | BaseWrong | PeerSuspected
Message = ToAgent | FromAgent | ToPeer | ToWorker | FromWorker
