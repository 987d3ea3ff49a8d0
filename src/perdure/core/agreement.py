"""Do the ranks of a job hold the same items? Asked of a group before its stripes are encoded (C3), and of all ranks at a commit (C6)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from perdure.core.messages import ItemDigest, Prepared
from perdure.core.offers import Kind, Offer

SAME_END: Final = "all ranks must end in the same superstep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one rank says of one label."""

    rank: int
    items: tuple[ItemDigest, ...]
    ended_at: int


def digests_of(offer: Offer) -> tuple[ItemDigest, ...]:
    """What must be known of an offer to compare it with those of other groups."""
    return tuple(
        ItemDigest(name=item.name, kind=item.kind, signature=zlib.crc32(repr(item.signature()).encode()), digest=item.digest)
        for item in offer.items
    )


def of_offers(offers: Iterable[Offer]) -> str:
    """Why these offers of one label cannot belong to one program; empty if they do."""
    return disagreement([Said(rank=offer.rank, items=digests_of(offer), ended_at=offer.ended_at) for offer in offers])


def of_facts(facts: Iterable[Prepared]) -> str:
    """The same, of all ranks that have prepared a label."""
    return disagreement([Said(rank=fact.rank, items=fact.digests, ended_at=fact.ended_at) for fact in facts])


def whereabouts(rank: int, superstep: int, *, ended: bool) -> str:
    """Where a rank is, of two that can never meet."""
    return f"rank {rank} {'ended its loop' if ended else 'goes on'} at superstep {superstep}"


def disagreement(said: list[Said]) -> str:
    """Compares everybody with the lowest rank. Its text names the item and both ranks, and what to do."""
    said = sorted(said, key=lambda one: one.rank)
    first = said[0]
    ours = {item.name: item for item in first.items}
    for other in said[1:]:
        theirs = {item.name: item for item in other.items}
        for name in [*ours, *theirs]:
            if name not in theirs or name not in ours:
                has, lacks = (first, other) if name in ours else (other, first)
                return f"rank {has.rank} declares the item {name!r} and rank {lacks.rank} does not: declare the same items on all ranks"
            if ours[name].signature != theirs[name].signature:
                return f"the item {name!r} differs in kind, dtype or global shape between rank {first.rank} and rank {other.rank}"
            if ours[name].kind == Kind.REPLICATED and ours[name].digest != theirs[name].digest:
                return f"the replicated item {name!r} differs between rank {first.rank} and rank {other.rank}: make it equal, or private"
        if first.ended_at != other.ended_at:
            return f"{whereabouts(first.rank, first.ended_at, ended=True)} and rank {other.rank} at superstep {other.ended_at}: {SAME_END}"
    return ""
