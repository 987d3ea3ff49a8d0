"""Is a message in transit at a commit? Compares what all ranks have sent with what all ranks have received, in a few integers.

A message is in transit at a label if its sender sent it before that rank's commit position, and its receiver did not receive it before its
own. The state does not hold such a message, so a recovery from the label would lose it.

1. At its commit position each rank adds up its channels, (sender, receiver) pairs: messages sent count +1, messages received count -1.
2. Each channel falls into one of `CELLS` cells by its number. A cell holds three sums modulo `PRIME`: of the counts, of count x channel
   number, and of count x channel number squared.
3. Whoever has the sums of all ranks adds them. Nothing is in transit exactly if all sums are 0. If all that is left in a cell belongs to
   one channel, the three sums give its number; otherwise only the count is known.

The size of the sums depends neither on the number of ranks nor on the number of messages. The cells are those of an invertible Bloom lookup
table with one hash function (Goodrich and Mitzenmacher, "Invertible Bloom lookup tables", Allerton 2011).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

CELLS: Final = 5
"""Arbitrary; programs that have a message in transit have few such channels. No divisor of the usual numbers of ranks, so that the channels
of one rank fall into different cells."""
PRIME: Final = (1 << 61) - 1
"""A Mersenne prime, so that counts have inverses; residues fit into eight bytes."""
Sums = tuple[int, ...]
"""3 x `CELLS` residues; empty: all are 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """The communication that crosses a label, as far as one rank knows it.

    Attributes:
        sums: of the rank's channels.
        unfinished: the first operation that the rank began before its commit position and had not completed there, in words; empty: none.
    """

    sums: Sums = ()
    unfinished: str = ""


NOTHING: Final = Transit()


def of_rank(rank: int, size: int, sent: Mapping[int, int], received: Mapping[int, int]) -> Sums:
    """Return the sums of one rank of `size`: `sent` has the number of messages by receiver, `received` by sender."""
    counts = [(rank * size + other, count) for other, count in sent.items() if count]
    counts += [(other * size + rank, -count) for other, count in received.items() if count]
    if not counts:
        return ()
    cells = [0] * (3 * CELLS)
    for channel, count in counts:
        at = 3 * (channel % CELLS)
        cells[at] += count
        cells[at + 1] += count * channel
        cells[at + 2] += count * channel * channel
    return _packed(cells)


def total(sums: Iterable[Sums]) -> Sums:
    """Return the sum over ranks."""
    cells = [0] * (3 * CELLS)
    for one in sums:
        for at, value in enumerate(one):
            cells[at] += value
    return _packed(cells)


def in_transit(sums: Sums, size: int) -> str:
    """Return in words what is in transit by the total of all ranks; empty: nothing is."""
    if not sums:
        return ""
    channels: list[str] = []
    for at in range(0, len(sums), 3):
        count, first, second = sums[at : at + 3]
        if not (count or first or second):
            continue
        channel = first * pow(count, -1, PRIME) % PRIME if count else size * size
        if channel >= size * size or channel % CELLS != at // 3 or second != count * channel * channel % PRIME:
            channels.append("some on several channels")
            continue
        sender, receiver = divmod(channel, size)
        number = count if count < PRIME // 2 else count - PRIME
        channels.append(f"{number} from rank {sender} to rank {receiver}")
    return f"messages are in transit ({', '.join(dict.fromkeys(channels))})"


def crossing(transits: Iterable[Transit], size: int) -> str:
    """Return in words what crosses a label of which all `size` ranks have reported their `Transit`; empty: nothing does."""
    known = list(transits)
    unfinished = next((one.unfinished for one in known if one.unfinished), "")
    return unfinished or in_transit(total(one.sums for one in known), size)


def refusal(what: str, superstep: int) -> str:
    """Return the text of the error for what crosses the commit of a superstep."""
    return (
        f"{what} at the commit of superstep {superstep}: a recovery from there would lose it; receive each message, and wait for "
        "each request, in the superstep that begins it"
    )


def _packed(cells: list[int]) -> Sums:
    residues = tuple([value % PRIME if value else 0 for value in cells])
    return residues if any(residues) else ()
