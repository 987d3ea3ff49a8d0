"""What the supervising process hands to the processes that the engine starts."""

from __future__ import annotations

import msgspec

from perdure.comm.transports import Kind
from perdure.core.faults import Fault
from perdure.core.orchestrator import JobShape
from perdure.core.settings import Settings
from perdure.launch.program import Program
from perdure.runtime.session import Means


class AgentConfig(msgspec.Struct, kw_only=True):
    """All that an agent and its workers must know. Numbers ending in `_fd` are open files, -1 where there is none."""

    job: str
    parent: int
    agent: int
    node: int
    program: Program
    settings: Settings
    means: Means
    faults: list[Fault]
    transport: Kind
    lifeline_fd: int
    ready_fd: int
    ledger_fd: int
    notify_fd: int
    verdict_fd: int


class OrchestratorConfig(msgspec.Struct, kw_only=True):
    """All that an orchestrator must know."""

    job: str
    parent: int
    round: int
    shape: JobShape
    settings: Settings
    supervisor_fd: int
