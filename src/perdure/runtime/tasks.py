"""A piece of work on chunks: the links that it needs, and where its ranks live."""

from __future__ import annotations

from perdure.coding import kernels
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import Custodian
from perdure.core.plan import Plan
from perdure.mapping import Bytes
from perdure.runtime.links import Links
from perdure.runtime.rings import RING_FROM_BYTES, ChunkRing
from perdure.runtime.vault import Vault
from perdure.runtime.vault_protocol import TILE_BYTES
from perdure.streams import Stream


class Task:
    """The links of one piece of work, one to each agent, rank and purpose that it touches."""

    def __init__(self, links: Links, vault: Vault, plan: Plan, me: int) -> None:
        self.links, self.vault, self.plan, self.me = links, vault, plan, me
        self.tile_bytes = TILE_BYTES * kernels.threads()
        """What is worked on at once."""
        self._streams: dict[tuple[int, int, int], Stream] = {}
        self._dialled = -1
        self._rings: list[tuple[int, Bytes]] = []

    def to(self, rank: int, purpose: int, custodian: Custodian | None = None) -> Stream | None:
        """The link to the agent of `rank`, or to a custodian of it; None when that is this agent itself."""
        agent = self.agent_of(rank, custodian)
        if agent == self.me:
            return None
        key = (agent, rank, purpose)
        if key not in self._streams:
            address = custodian.address if custodian else self.plan.address_of(agent)
            self._dialled = rank
            self._streams[key] = self.links.dial(address, self.plan.generation)
        return self._streams[key]

    def failed_rank(self) -> int:
        """Return the rank whose link failed, as far as that can be seen: one that has ended, or the one that was dialled last."""
        return next((rank for (_, rank, _), stream in self._streams.items() if stream.has_ended()), self._dialled)

    def agent_of(self, rank: int, custodian: Custodian | None) -> int:
        """Who is read: the home of `rank`, or a custodian of it."""
        return custodian.agent if custodian else self.plan.agent_of(rank)

    def geometry(self, rank: int) -> Geometry:
        """Of the group of `rank`."""
        return self.plan.geometry(self.plan.group_index(rank))

    def wait_for_memory(self, rank: int, label: Label) -> None:
        """Blocks until a rank that lives here has its group's offers; woken by the end of the generation."""
        self.links.wait_for_memory(self.plan.generation, rank, label)

    def ring(self, stream: Stream, label: Label, rank: int, position: int, nbytes: int) -> ChunkRing | None:
        """What a chunk of `nbytes` is handed over by, if that is worth it and its holder is on this machine."""
        if self.links.peer_maps is None or not stream.passes_files or nbytes < RING_FROM_BYTES:
            return None
        self._rings.append(self.links.rings.take(self.tile_bytes))
        return ChunkRing(self._rings[-1], stream, label, rank, position)

    def keep_links(self) -> None:
        """All is done, and answered: others may use these links."""
        for (agent, _, _), stream in self._streams.items():
            self.links.keep(stream, self.plan.address_of(agent))
        self._streams.clear()

    def close(self) -> None:
        """Hangs up."""
        for stream in self._streams.values():
            self.links.hang_up(stream)
        for memory in self._rings:
            self.links.rings.give_back(memory)
