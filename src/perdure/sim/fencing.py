"""Is a node that is called lost ended, whether it still runs or not (G3)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perdure.core.ids import Label

if TYPE_CHECKING:
    from perdure.sim.cluster import Cluster

FENCED_S: Final = 1.0
"""A message to the supervisor and a signal."""


class Fencing:
    """The nodes that are called lost, and since when."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.lost_at_s: dict[int, float] = {}
        self._useless_at_s: dict[int, float] = {}
        """Nodes that are called lost -> since when nothing of theirs can be needed."""

    def called_lost(self, number: int) -> None:
        """An event says that the node of this agent is lost."""
        now = self._cluster.world.schedule.now
        self.lost_at_s.setdefault(number, now)
        if not any(plan.ranks_of(number) for plan in self._cluster.decisions.chosen):
            self._useless_at_s.setdefault(number, now)

    def committed(self, label: Label) -> None:
        """D6: what an orchestrator knows to be committed is enough without those whom its plan goes on without."""
        plan = self._cluster.decisions.chosen[-1]
        for number in self.lost_at_s.keys() - self._useless_at_s.keys() if label.generation == plan.generation else ():
            if not plan.ranks_of(number):
                self._useless_at_s[number] = self._cluster.world.schedule.now

    def check(self) -> None:
        """G3: what is called lost is ended; what may be a custodian, with the first commit without it. An orchestrator that has not called
        it lost itself has to hear of it first."""
        cluster = self._cluster
        now, served_s = cluster.world.schedule.now, cluster.supervisor.has_served_s()
        for number, since_s in self._useless_at_s.items() if min(served_s, self._engine_serves_s()) > FENCED_S else ():
            node = cluster.nodes.get(number)
            if node is None:
                continue
            knows = now - served_s <= self.lost_at_s[number] or not cluster.is_hindered(node)
            late = node.alive and knows and now - since_s > FENCED_S
            cluster.checkers.require(not late, "G3", f"node {number - 1} is called lost and of no use for {FENCED_S:g} s, and lives")

    def _engine_serves_s(self) -> float:
        """For how long is the engine available (s)? It is asked once more then to end what it was asked to end before."""
        return self._cluster.world.schedule.now - self._cluster.supervisor.engine.unavailable_until_s
