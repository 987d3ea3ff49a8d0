"""Which communication crosses a commit? What begins before it and ends after it is no part of the state: a recovery would lose it.

1. A rank knows a part of that by itself: requests and matched messages that the program holds and has not ended, messages that it has and
   did not receive, receives and collectives under way (`unfinished`).
2. The rest follows from how many messages all ranks have sent and received, which they add up at each commit (`perdure.core.channel_sums`).
   No rank waits for another one for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from perdure.comm.messaging.engine import MessageEngine
from perdure.comm.messaging.matching import ANY, Arrival, Receive
from perdure.comm.messaging.operations import (
    CollectiveOperation,
    NullOperation,
    PersistentOperation,
    ReceiveOperation,
    SendOperation,
    SendReceiveOperation,
)
from perdure.comm.messaging.probes import Matched
from perdure.comm.messaging.requests import Operation
from perdure.comm.mpi.generalized import Generalized
from perdure.core import channel_sums
from perdure.core.channel_sums import Transit
from perdure.errors import InternalError

NEIGHBOURS_BIT: Final = 1 << 40
"""See `schedules.neighbours`."""


def transit(engine: MessageEngine) -> Transit:
    """Return what crosses the commit position at which this rank is, as far as the rank knows it; asks no other rank."""
    with engine.traffic.turns.lock:
        return _transit(engine)


def _transit(engine: MessageEngine) -> Transit:
    unfinished = next(_unfinished(engine), "")  # before the counts: a collective that is looked at may send
    sent = engine.traffic.sent()
    received = engine.traffic.received()
    for rank, count in engine.answers_to.items():
        sent[rank] = sent.get(rank, 0) - count
    for rank, count in engine.answers_from.items():
        received[rank] = received.get(rank, 0) - count
    to_itself = 0
    for message in engine.unreceived():
        received[message.source] = received.get(message.source, 0) - 1
        to_itself += message.source == engine.rank
    sent[engine.rank], received[engine.rank] = to_itself, 0
    sums = channel_sums.of_rank(engine.rank, engine.size, sent, received)
    return Transit(sums=sums, unfinished=unfinished)


def _unfinished(engine: MessageEngine) -> Iterator[str]:
    """Describe what this rank has not finished: requests, messages that it has not received, receives and collectives under way."""
    for one in engine.active:
        yield _of_matched(engine, one) if isinstance(one, Matched) else _of_request(engine, one)
    for queue in engine.mailbox.waiting.values():
        yield from (_of_message(engine, one) for one in queue)
    for receive in [*engine.mailbox.receives(), *engine.traffic.half_received(), *engine.awaits_copies()]:
        yield _of_receive(engine, receive)
    if engine.traffic.background:
        yield f"rank {engine.rank} has a non-blocking collective in progress"


def _of_request(engine: MessageEngine, pending: Operation) -> str:
    what = _request(engine, pending)
    return f"rank {engine.rank} has {'not waited for its' if pending.ready() else 'a'} {what}{'' if pending.ready() else ' in progress'}"


def _request(engine: MessageEngine, pending: Operation) -> str:
    match pending:
        case SendOperation():
            return f"send to rank {pending.to} with tag {pending.tag} on {_named(engine, pending.comm_state.context)}"
        case ReceiveOperation():
            return _receive(engine, pending.part)
        case SendReceiveOperation():
            return f"{_request(engine, pending.sending)} and {_request(engine, pending.receiving)}"
        case CollectiveOperation():
            return f"non-blocking collective on {_named(engine, pending.comm_state.context)}"
        case PersistentOperation():
            return f"persistent {_request(engine, pending.current()).removeprefix('non-blocking ')}"
        case Generalized():
            return "generalized request"
        case NullOperation():
            return pending.what
    raise InternalError(f"a request of an unknown kind, {type(pending).__name__}")


def _of_matched(engine: MessageEngine, one: Matched) -> str:
    if one.arrival is None:
        return f"rank {engine.rank} has matched a message of PROC_NULL but not received it"
    arrival = one.arrival
    return (
        f"rank {engine.rank} has matched {arrival.length} bytes with tag {arrival.tag} from rank {arrival.source} on "
        f"{_named(engine, arrival.context)} but not received them"
    )


def _of_message(engine: MessageEngine, one: Arrival) -> str:
    if _is_collective(one.context):
        return f"rank {engine.rank} has not taken part in a collective on {_named(engine, one.context)} that rank {one.source} has started"
    return (
        f"rank {one.source} sent {one.length} bytes with tag {one.tag} on {_named(engine, one.context)} to rank {engine.rank}, "
        "which has not received them"
    )


def _of_receive(engine: MessageEngine, one: Receive) -> str:
    if _is_collective(one.context):
        return f"rank {engine.rank} has a non-blocking collective on {_named(engine, one.context)} in progress"
    return f"rank {engine.rank} has a {_receive(engine, one)} in progress"


def _receive(engine: MessageEngine, one: Receive) -> str:
    source = "any rank" if one.source == ANY else f"rank {one.source}"
    tag = "any tag" if one.tag == ANY else f"tag {one.tag}"
    return f"receive from {source} with {tag} on {_named(engine, one.context)}"


def _is_collective(context: int) -> bool:
    return bool(context & 1)


def _named(engine: MessageEngine, context: int) -> str:
    """A communicator in words; its ranks are those of the job."""
    own = [context & ~1, (context ^ NEIGHBOURS_BIT) & ~1]
    comm_state = next((engine.comm_states[one] for one in own if one in engine.comm_states), None)
    if comm_state is None:
        return "a communicator that was freed"
    return comm_state.name or f"a communicator of the ranks {', '.join(map(str, comm_state.ranks))}"
