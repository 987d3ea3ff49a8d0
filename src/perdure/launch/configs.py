"""The specification of a job, and the configurations of the processes that the engine starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from perdure.comm.transports import Kind
from perdure.core.faults import Fault
from perdure.core.layout import nodes_with_ranks
from perdure.core.orchestrator import JobShape
from perdure.core.settings import Settings
from perdure.launch.program import Program
from perdure.runtime.session import RankParameters


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The job as the operator specified it, after all checks."""

    program: Program
    shape: JobShape
    spares: int
    settings: Settings
    parameters: RankParameters
    faults: Sequence[Fault]
    transport: Kind
    return_after_s: float | None

    @property
    def nodes(self) -> int:
        """Nodes with ranks, and spares."""
        return nodes_with_ranks(self.shape.ranks, self.shape.ranks_per_node) + self.spares


class AgentConfig(msgspec.Struct, kw_only=True):
    """All that an agent and its workers must know. `address` is where it shall listen; `spent` are the faults that have happened;
    `measures_memory`: its memory is not the supervisor's, so `available_bytes` of the parameters is the node's to find out."""

    job: str
    token: str
    address: str
    agent: int
    node: int
    program: Program
    ranks: int
    settings: Settings
    parameters: RankParameters
    measures_memory: bool
    faults: list[Fault]
    spent: list[int]
    transport: Kind
