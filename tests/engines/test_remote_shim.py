"""The far end of a shell whose connection is destroyed."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from perdure.engines import probe
from perdure.engines.remote_shim import order_of

TIMEOUT_S: Final = 60
RESETS: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: a close destroys the connection."""


@pytest.fixture
def shim() -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """Its standard input and output are a TCP connection, whose other end is here."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as theirs:
        ours = listener.accept()[0]
        ours.settimeout(TIMEOUT_S)
        command = [sys.executable, "-P", "-m", "perdure.engines.remote_shim"]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
    with ours, process:
        yield ours, process
        process.kill()


@pytest.mark.parametrize("sends", ["nothing", "half an order", "half a configuration", "an order"])
def test_a_connection_that_is_reset_ends_the_node_without_a_traceback(
    shim: tuple[socket.socket, subprocess.Popen[bytes]], sends: str
) -> None:
    """The traceback would be on the terminal of the host, and the node's processes would end only as orphans."""
    ours, process = shim
    order, config = order_of((probe.__name__,), b""), b"x" * 100
    with_config = order_of((probe.__name__,), config)
    ours.sendall({"nothing": b"", "half an order": order[:20], "half a configuration": with_config[:-50]}.get(sends, order))
    if sends == "an order":
        ours.sendall(probe.ECHO + b" up\n")
        received = b""
        while b"up\n" not in received:
            piece = ours.recv(100)
            assert piece, process.communicate(timeout=TIMEOUT_S)
            received += piece
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
    ours.close()
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert errors == b""
    assert process.returncode == 0
