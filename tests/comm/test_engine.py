"""What the engine keeps beside the messages themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from perdure.comm import Communicator
from tests.comm.worlds import run


def test_the_log_of_a_sender_has_every_message_and_its_place_on_the_channel() -> None:
    def body(comm: Communicator) -> Any:
        seen: list[tuple[int, int, int, bytes]] = []
        if comm.rank == 0:
            comm.engine.log = lambda rank, sequence, context, tag, data: seen.append((rank, sequence, tag, bytes(data)))
            comm.Send(np.array([1], np.uint8), 1, 7)
            comm.Send(np.array([2], np.uint8), 1, 8)
        else:
            for tag in (7, 8):
                comm.Recv(np.empty(1, np.uint8), 0, tag)
        return seen

    assert run(2, body)[0] == [(1, 0, 7, b"\x01"), (1, 1, 8, b"\x02")]
