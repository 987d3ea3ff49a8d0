"""Which parts of a stripe must be encoded anew, when most of the state is as it was two commits ago (rule C4')?

A slot and its parity set hold the label before the last one until a new label takes their place. A rank whose slot and parity are whole
then compares: its offer names that label (`since`) and the stretches of its coded region that changed. If all n offers of a group name the
same label, a column of a stripe in which no data chunk has a changed byte has the parity that it had. All other columns are encoded from
the new bytes alone. So nothing is derived from old bytes, of which a bit may have changed:
old parity ^ G * (old ^ new) would carry that on.

Every member has the same n offers, so all come to the same answer without another word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.snapshot_index import Range, SnapshotIndex


def common_since(offers: Sequence[SnapshotIndex]) -> Label | None:
    """The label that parity is taken over from; None: all of it is encoded. A rank names one only if its state has the size that it had
    there, so where all do the chunks lie where they lay."""
    labels = {offer.since for offer in offers}
    return labels.pop() if len(labels) == 1 else None


def columns(geometry: Geometry, stripe: int, offers: Sequence[SnapshotIndex], block: int) -> tuple[Range, ...]:
    """What is to be encoded of a stripe: stretches [start, stop) of its chunks, in bytes, ascending and apart, with starts at multiples of
    `block`. `offers` are in member order."""
    chunk = geometry.chunk_bytes([offer.coded_bytes for offer in offers])
    if common_since(offers) is None:
        return ((0, chunk),) if chunk else ()
    found: list[Range] = []
    for t in range(geometry.d):
        begin = t * chunk
        for start, stop in offers[geometry.member(stripe, t)].changed:
            first, last = max(start - begin, 0), min(stop - begin, chunk)
            if first < last:
                found.append((first // block * block, min(-(-last // block) * block, chunk)))
    return joined(found)


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same bytes in the fewest stretches, ascending."""
    out: list[Range] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return tuple(out)
