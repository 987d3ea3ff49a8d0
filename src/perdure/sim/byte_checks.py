"""Are the bytes that vaults store what they must be? Each chunk is compared with an undisturbed run, when it is stored or changed.

The answers are kept in the entries of the vaults, as masks of right chunks; `checkers` asks for them wherever a label may be needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from perdure.core.ids import Label
from perdure.core.plan import Plan
from perdure.core.snapshot_index import SnapshotIndex
from perdure.sim import program
from perdure.sim.vaults import SimVaultEntry
from perdure.sim.world import World

if TYPE_CHECKING:
    from perdure.sim.nodes import SimNode


class ByteChecks:
    """One method for each way in which bytes come to a vault."""

    def __init__(self, world: World, require: Callable[[bool, str, str], None]) -> None:
        self._world, self._require = world, require

    def snapshot_stored(self, node: SimNode, plan: Plan, rank: int, label: Label, held: SimVaultEntry, offer: SnapshotIndex) -> None:
        """G2: what is snapped is what an undisturbed run has there."""
        superstep = program.before(label.superstep, self._world.scenario.count)
        right = held.snapshot == program.state_of(rank, superstep)
        self._require(right, "G2", f"rank {rank} snaps a state for {label} that no undisturbed run has")
        held.right_data = (1 << plan.geometry(plan.group_index(rank)).d) - 1

    def slot_changed(self, node: SimNode, rank: int, label: Label, held: SimVaultEntry) -> None:
        """I4: of a label whose slot was written to, what is still as it must be."""
        plan, whole = node.plan, node.vault.bytes_of(rank, label)
        geometry = plan.geometry(plan.group_index(rank))
        wanted = program.state_of(rank, program.before(label.superstep, self._world.scenario.count))
        if not held.members:
            held.right_data = held.right_data if whole == wanted else 0
            return
        chunk = program.chunk_bytes(geometry, held.members)
        for t in range(geometry.d):
            right = program.chunk_of(whole, t, chunk) == program.chunk_of(wanted, t, chunk)
            held.right_data = held.right_data & ~(1 << t) | right << t

    def chunk_stored(self, node: SimNode, plan: Plan, rank: int, label: Label, position: int, held: SimVaultEntry) -> None:
        """G1, R5: what was coded is what it must be."""
        index, member = plan.group_index(rank), plan.member_of(rank)
        geometry, group = plan.geometry(index), plan.groups[index]
        superstep = program.before(label.superstep, self._world.scenario.count)
        if position >= geometry.d:
            p = position - geometry.d
            right = held.parity[p] == program.true_parity(group, plan.parity, geometry.stripe_of_parity(member, p), superstep)[p]
            held.right_parity = held.right_parity & ~(1 << p) | right << p
        else:
            chunk = program.chunk_bytes(geometry, held.members)
            whole = node.vault.bytes_of(rank, label)
            wanted = program.chunk_of(program.state_of(rank, superstep), position, chunk)
            right = program.chunk_of(whole, position, chunk) == wanted
            held.right_data = held.right_data & ~(1 << position) | right << position
        self._require(right or self._world.flipped, "G1", f"chunk {position} of rank {rank} at {label} was stored with wrong bytes")

    def chunk_repaired(self, rank: int, label: Label, position: int, held: SimVaultEntry, d: int) -> None:
        """S3: what counts as repaired is what it must be, whatever it was decoded from."""
        right = held.right_data >> position & 1 if position < d else held.right_parity >> (position - d) & 1
        self._require(bool(right), "S3", f"chunk {position} of rank {rank} at {label} was repaired with wrong bytes")

    def chunk_missing(self, reader: SimNode, rank: int, label: Label, position: int) -> None:
        """R1: a decoder or a restorer was sent where there is nothing, which is never right. Position -1: the replicated region."""
        what = "the replicated items" if position < 0 else f"chunk {position}"
        self._require(False, "R1", f"agent {reader.number} reads {what} of rank {rank} at {label}, which is not there")
