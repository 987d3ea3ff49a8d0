"""Whatever connects to a rank and is none of the job's is refused, told of once, and holds up nobody."""

from __future__ import annotations

import contextlib
import os
import random
import socket

import pytest

from perdure.comm import world_of
from perdure.comm.messaging.mesh import HANDSHAKE, VERSION, Mesh
from perdure.comm.transports import Kind
from tests.comm.worlds import Quiet

DEADLINE_S = 20.0


def dialled(address: str) -> socket.socket:
    kind, _, name = address.partition(":")
    sock = socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX)
    sock.settimeout(DEADLINE_S)
    host, _, port = name.rpartition(":")
    sock.connect((host, int(port)) if kind == "tcp" else "\0" + name)
    return sock


@pytest.mark.parametrize("transport", ["shared", "unix", "tcp"])
def test_strangers_are_refused_and_told_of_once_for_each_reason(transport: Kind, caplog: pytest.LogCaptureFixture) -> None:
    job, dice = os.urandom(16), random.Random(7)
    mesh = Mesh(job=job, rank=3, incarnation=1, monitor=Quiet(), transport=transport)
    said = [dice.randbytes(dice.randrange(1, HANDSHAKE.size)) for _ in range(20)]
    said += [dice.randbytes(dice.randrange(HANDSHAKE.size, 200)) for _ in range(20)]
    said += [HANDSHAKE.pack(job, 1, 0, 1, VERSION + 1), b""]
    for words in said:
        with dialled(mesh.address) as sock, contextlib.suppress(OSError):  # of TCP an end may be a reset
            sock.sendall(words)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == 2
    assert all(line.startswith("a connection from ") and "was refused" in line for line in logged)
    other = Mesh(job=job, rank=0, incarnation=1, monitor=Quiet(), transport=transport)
    addresses, incarnations = (other.address, "", "", mesh.address), (1, 1, 1, 1)
    here = world_of(other.enter(generation=1, size=4, addresses=addresses, incarnations=incarnations))
    there = world_of(mesh.enter(generation=1, size=4, addresses=addresses, incarnations=incarnations))
    here.send("one of ours", 3)
    assert there.recv(source=0) == "one of ours"
    mesh.close()
    other.close()
