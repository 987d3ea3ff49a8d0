"""Control messages survive the wire, and what is no message is refused."""

from __future__ import annotations

import pytest

from perdure.core import messages as msg
from perdure.core.ids import Ballot, Label
from perdure.core.planner import Seat, first_plan
from perdure.core.snapshot_index import Form, Item, Kind, SnapshotIndex
from perdure.wire import FrameReader, WireError, encode

ITEM = Item(
    name="u", kind=Kind.SHARDED, form=Form.ARRAY, dtype="<f8", shape=(2, 3), global_shape=(8, 3), axis=0, offset=0, nbytes=48,
    blocks=b"12345678", digest=2**64 - 1,
)  # fmt: skip
OFFER = SnapshotIndex(
    rank=1, items=(ITEM,), coded_bytes=48, replicated_bytes=0, next_position=20, ended_at=-1, since=Label(1, 8), changed=((0, 16),)
)
PLAN = first_plan([Seat(agent=7, node=0, address="unix:a")], 2, 2, 2, 1)
VOTE = msg.Vote(ballot=Ballot(1, 2), change=PLAN.change_to(PLAN))
MESSAGES = [
    msg.GroupOffer(label=Label(1, 10), offer=OFFER),
    msg.Install(plan=PLAN, restore=()),
    msg.Seal(ballot=Ballot(1, 2), generation=1),
    msg.Accept(ballot=Ballot(1, 2), generation=2, change=PLAN.change_to(PLAN)),
    msg.Sealed(ballot=Ballot(2, 1), generation=1, ranks=(), positions=(0, 1), accepted=VOTE),
    msg.AskPlan(),
    msg.Enter(
        generation=2, size=2, addresses=("unix:a", "unix:b"), incarnations=(1, 2), base=Label(1, 10), slot=1, offer=OFFER,
        positions=(20, 30), protection=2.5,
    ),
    msg.EndWorker(),
    msg.Progress(
        generation=2, ranks=3, superstep=3, frames=7, inside_s=0.5, in_comm=1, elsewhere=1, calls=((0, "comm.Recv"),), count=9
    ),
]  # fmt: skip


def test_every_message_comes_back_equal_however_the_bytes_are_cut() -> None:
    stream = b"".join(encode(message) for message in MESSAGES)
    for step in (1, 7, len(stream)):
        reader = FrameReader()
        got = [message for start in range(0, len(stream), step) for message in reader.feed(stream[start : start + step])]
        assert got == MESSAGES


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xc1", encode(msg.EndWorker()).replace(b"EndWorker", b"EndWorkex")]
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        list(FrameReader().feed(data))
