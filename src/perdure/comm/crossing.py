"""Which communication crosses a commit? What begins before it and ends after it is no part of the state: a recovery would lose it.

A rank knows a part of that by itself: messages that it has and did not receive, receives and collectives under way (`unfinished`). The rest
follows from how many messages all ranks have sent and received, which they add up at each commit (`perdure.core.channel_sums`). No rank
waits for another one for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from perdure.comm.engine import Engine
from perdure.comm.matching import ANY, Arrival, Receive
from perdure.core import channel_sums
from perdure.core.channel_sums import Transit

NEIGHBOURS_BIT: Final = 1 << 40
"""See `schedules.neighbours`."""


def transit(engine: Engine) -> Transit:
    """Return what crosses the commit position at which this rank is, as far as the rank knows it; asks no other rank."""
    with engine.traffic.turns.lock:
        return _transit(engine)


def _transit(engine: Engine) -> Transit:
    sent = engine.traffic.sent()
    received = engine.traffic.received()
    for rank, count in engine.answers_to.items():
        sent[rank] -= count
    for rank, count in engine.answers_from.items():
        received[rank] -= count
    waiting = Counter(message.source for message in engine.unreceived())
    received.subtract(waiting)
    sent[engine.rank], received[engine.rank] = waiting[engine.rank], 0
    sums = channel_sums.of_rank(engine.rank, engine.size, sent, received)
    return Transit(sums=sums, unfinished=next(_unfinished(engine), ""))


def _unfinished(engine: Engine) -> Iterator[str]:
    """Describe what this rank has not finished: messages that it has not received, receives and collectives under way."""
    for queue in engine.mailbox.waiting.values():
        yield from (_of_message(engine, one) for one in queue)
    for receive in [*engine.mailbox.receives(), *engine.traffic.half_received(), *engine.awaits_copies()]:
        yield _of_receive(engine, receive)
    if engine.traffic.background:
        yield f"rank {engine.rank} has a non-blocking collective under way"


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
