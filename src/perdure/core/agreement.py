"""Do the ranks of a job hold the same items? Asked of a group before its stripes are encoded (C3), and of all ranks at a commit (C6)."""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from perdure.core import channel_sums
from perdure.core.ids import END, Label
from perdure.core.messages import ItemDigest, Prepared
from perdure.core.snapshot_index import Kind, SnapshotIndex

SAME_END: Final = "all ranks must end in the same superstep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one rank says of one label."""

    rank: int
    items: tuple[ItemDigest, ...]
    ended_at: int


def digests_of(offer: SnapshotIndex) -> tuple[ItemDigest, ...]:
    """What must be known of an offer to compare it with those of other groups."""
    return tuple(
        ItemDigest(name=item.name, kind=item.kind, signature=_checksum(item.signature()), digest=item.digest) for item in offer.items
    )


@functools.lru_cache(maxsize=1024)
def _checksum(signature: tuple[object, ...]) -> int:
    """The same at every commit."""
    return zlib.crc32(repr(signature).encode())


def common_of(offer: SnapshotIndex) -> int:
    """A checksum of the values of all replicated items: equal where those are."""
    values = [(item.name, item.digest) for item in offer.items if item.kind is Kind.REPLICATED]
    return zlib.crc32(repr(values).encode())


def of_offers(offers: Iterable[SnapshotIndex], *, values: bool) -> str:
    """Why these offers of one label cannot belong to one program; empty if they do. `values`: those of replicated items count too."""
    return disagreement([Said(rank=offer.rank, items=digests_of(offer), ended_at=offer.ended_at) for offer in offers], values=values)


def of_facts(facts: Iterable[Prepared], *, values: bool) -> str:
    """The same, of all ranks that have prepared a label."""
    return disagreement([Said(rank=fact.rank, items=fact.digests, ended_at=fact.ended_at) for fact in facts], values=values)


def crossing(facts: Collection[Prepared]) -> str:
    """C11: what communication crosses the label that these facts of all ranks are about, in words; empty: nothing does. What is left at the
    end is lost to nobody."""
    if any(fact.label.superstep == END for fact in facts):
        return ""
    return channel_sums.crossing((fact.transit for fact in facts), len(facts))


def are_declared(label: Label) -> bool:
    """P2: what replicated items hold at superstep 0 is what the program declared: if that differs, it is the program's mistake. Later they
    may differ because memory has failed, and `Settings.on_divergence` says what follows."""
    return label.superstep == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """A replicated item that is not the same on all ranks. `ranks`: those that differ from more than half of all; or all of them, where
    there is no such majority."""

    item: str
    ranks: tuple[int, ...]
    majority: bool

    def __str__(self) -> str:
        if not self.majority:
            return f"the replicated item {self.item!r} differs between the ranks, and no value has a majority"
        who = f"rank {self.ranks[0]}" if len(self.ranks) == 1 else f"ranks {', '.join(map(str, self.ranks))}"
        return f"the replicated item {self.item!r} differs on {who} from all other ranks"


def divergences(facts: Iterable[Prepared]) -> tuple[Divergence, ...]:
    """C6: which replicated items differ between ranks that have prepared a label, in the order of declaration."""
    values: dict[str, dict[int, int]] = {}
    for fact in facts:
        for item in fact.digests:
            if item.kind == Kind.REPLICATED:
                values.setdefault(item.name, {})[fact.rank] = item.digest
    return tuple(_divergence(name, of_rank) for name, of_rank in values.items() if len(set(of_rank.values())) > 1)


def _divergence(name: str, of_rank: dict[int, int]) -> Divergence:
    value, count = Counter(of_rank.values()).most_common(1)[0]
    majority = 2 * count > len(of_rank)
    ranks = sorted(rank for rank, other in of_rank.items() if not majority or other != value)
    return Divergence(item=name, majority=majority, ranks=tuple(ranks))


def whereabouts(rank: int, superstep: int, *, ended: bool) -> str:
    """Where a rank is, of two that can never meet."""
    return f"rank {rank} {'ended its loop' if ended else 'continues'} at superstep {superstep}"


def disagreement(said: list[Said], *, values: bool) -> str:
    """Compares everybody with the lowest rank. Its text names the item and both ranks, and what to do."""
    said = sorted(said, key=lambda one: one.rank)
    first = said[0]
    ours = {item.name: item for item in first.items}
    for other in said[1:]:
        theirs = {item.name: item for item in other.items}
        for name in [*ours, *theirs]:
            if name not in theirs or name not in ours:
                has, lacks = (first, other) if name in ours else (other, first)
                return f"rank {has.rank} declares the item {name!r} but rank {lacks.rank} does not: declare the same items on all ranks"
            if ours[name].signature != theirs[name].signature:
                return (
                    f"the item {name!r} differs in kind, dtype or global shape between rank {first.rank} and rank {other.rank}: "
                    "declare it alike on all ranks"
                )
            if values and ours[name].kind == Kind.REPLICATED and ours[name].digest != theirs[name].digest:
                return (
                    f"the replicated item {name!r} differs between rank {first.rank} and rank {other.rank}: make it equal, or declare it "
                    "with job.private"
                )
        if first.ended_at != other.ended_at:
            return f"{whereabouts(first.rank, first.ended_at, ended=True)} and rank {other.rank} at superstep {other.ended_at}: {SAME_END}"
    return ""
