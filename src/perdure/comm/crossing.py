"""Which communication crosses a commit? What begins before it and ends after it is no part of the state: a recovery would lose it.

In every run a rank looks at what it knows itself (`nothing_is_left`), and a message that crosses is refused when it is received
(`Engine.is_receivable`). Rehearsals, and runs with `debug`, find messages too that nobody receives (`nothing_crosses`):

1. All ranks send a marker to one another, at the same position. Channels keep their order, so when a marker of every rank has arrived, so
   has all that they sent before: what lies unreceived now was not received in the supersteps that end here.
2. The ranks exchange what they found. Nobody goes on before that, so no later message is taken for an earlier one.
"""

from __future__ import annotations

import json
from typing import Final

from perdure.comm.engine import Engine
from perdure.comm.matching import ANY, Arrival, Receive
from perdure.comm.membership import Exchange
from perdure.comm.pendings import drive
from perdure.comm.schedules import all_to_all_bytes
from perdure.core.agreement import whereabouts
from perdure.errors import UsageError

CONTEXT: Final = 7
"""Of the markers; programs' communicators have hashes, and 2 to 5."""
NEIGHBOURS_BIT: Final = 1 << 40
"""See `schedules.neighbours`."""


def nothing_crosses(engine: Engine, superstep: int, ended_at: int) -> None:
    """All ranks call it at a commit; `superstep` -1: at the end, of a loop that ended at `ended_at`. `UsageError` names what crosses.

    What is left at the end of `main` is lost to nobody. But a rank that is at the end while another goes on would be waited for here.
    """
    places, found = _crossing(engine, superstep if superstep >= 0 else -1 - ended_at)
    if other := next((rank for rank, place in enumerate(places) if place != places[0]), 0):
        both = " and ".join(_in_words(rank, places[rank]) for rank in (0, other))
        raise UsageError(f"{both}: all ranks must commit, and end, in the same supersteps")
    if found and superstep >= 0:
        raise UsageError(_of_crossing(found, superstep))


def nothing_is_left(engine: Engine, superstep: int) -> None:
    """Refuse, at a commit, what this rank knows to cross it: messages that are here and not received, and receives under way.

    It asks no other rank. A message that has not arrived yet is found when it is received: see `Engine.is_receivable`.
    """
    found = _of_rank(engine)
    if found:
        raise UsageError(_of_crossing(found[0], superstep))


def _of_crossing(what: str, superstep: int) -> str:
    return (
        f"{what} at the commit of superstep {superstep}: a recovery from there would lose it; receive each message, and wait for "
        "each request, in the superstep that begins it"
    )


def _in_words(rank: int, place: int) -> str:
    return whereabouts(rank, -1 - place if place < 0 else place, ended=place < 0)


def _crossing(engine: Engine, place: int) -> tuple[list[int], str]:
    """Blocks; all ranks call it, and have the same answer.

    Returns:
        The places of all ranks; and what crosses this one, in words: empty if nothing does, or if the ranks are at different places.
    """
    ranks = tuple(range(engine.size))
    marked = drive(engine, all_to_all_bytes(_exchange(engine, ranks, 0), [memoryview(b"%d" % place)] * engine.size))
    places = [int(bytes(marker)) for marker in marked]
    if len(set(places)) > 1:
        return places, ""
    found = [memoryview(json.dumps(_of_rank(engine)).encode())] * engine.size
    told = drive(engine, all_to_all_bytes(_exchange(engine, ranks, 1), found))
    everything = [words for one in told for words in json.loads(bytes(one))]
    return places, everything[0] if everything else ""


def _exchange(engine: Engine, ranks: tuple[int, ...], tag: int) -> Exchange:
    return Exchange(engine, ranks, engine.rank, CONTEXT, tag)


def _of_rank(engine: Engine) -> list[str]:
    """What this rank has not finished: messages that it has not received, receives that nothing has matched."""
    messages = [one for queue in engine.mailbox.waiting.values() for one in queue if one.context != CONTEXT]
    receives = [one for one in [*engine.mailbox.receives(), *engine.traffic.half_received()] if one.context != CONTEXT]
    found = [_of_message(engine, one) for one in messages] + [_of_receive(engine, one) for one in receives]
    if not found and engine.traffic.background:
        found = [f"rank {engine.rank} has a non-blocking collective under way"]
    return found


def _of_message(engine: Engine, one: Arrival) -> str:
    if _is_collective(one.context):
        return f"rank {engine.rank} has not taken part in a collective on {_named(engine, one.context)} that rank {one.source} has begun"
    return (
        f"rank {one.source} sent {one.length} bytes with tag {one.tag} on {_named(engine, one.context)} to rank {engine.rank}, "
        "which has not received them"
    )


def _of_receive(engine: Engine, one: Receive) -> str:
    if _is_collective(one.context):
        return f"rank {engine.rank} has a non-blocking collective on {_named(engine, one.context)} under way"
    source = "any rank" if one.source == ANY else f"rank {one.source}"
    tag = "any tag" if one.tag == ANY else f"tag {one.tag}"
    return f"rank {engine.rank} has a receive from {source} with {tag} on {_named(engine, one.context)} under way"


def _is_collective(context: int) -> bool:
    return bool(context & 1)


def _named(engine: Engine, context: int) -> str:
    """A communicator in words; its ranks are those of the job."""
    own = [context & ~1, (context ^ NEIGHBOURS_BIT) & ~1]
    membership = next((engine.memberships[one] for one in own if one in engine.memberships), None)
    if membership is None:
        return "a communicator that was freed"
    return membership.name or f"a communicator of the ranks {', '.join(map(str, membership.ranks))}"
