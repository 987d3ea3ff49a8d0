"""The first process of a namespaced host, and a shell to it over its network. Standard library only: it is started by its path.

    shell.py serve LIFELINE READY     on the host: runs commands for whoever connects, until the lifeline ends
    shell.py HOST COMMAND             elsewhere: what `ssh HOST COMMAND` is to a machine

Standard input and output of a command are one TCP connection, so a host that is cut off, stopped or without power keeps its shell waiting
as it would keep ssh. Whoever reaches the network of these hosts may run commands on them: it is connected to no other.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
from typing import Final

PORT: Final = 22
CONNECT_TIMEOUT_S: Final = 10.0
PIECE_BYTES: Final = 1 << 16


def serve(lifeline: int, ready: int) -> None:
    """As process 1 of a host it also takes in what others leave behind. The standard error of a command is the host's."""
    signal.signal(signal.SIGCHLD, lambda number, frame: _reap())
    for fd in (lifeline, ready):
        os.set_inheritable(fd, False)
    with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
        os.write(ready, b"R")
        os.close(ready)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(lifeline, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in selector.select()):
            threading.Thread(target=_run, args=(listener.accept()[0],), daemon=True).start()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):  # all are reaped
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run(sock: socket.socket) -> None:
    """The first line is the command; what follows is its standard input."""
    with sock:
        line = bytearray()
        while not line.endswith(b"\n"):
            piece = sock.recv(1)
            if not piece:
                return
            line += piece
        streams = [(os.POSIX_SPAWN_DUP2, sock.fileno(), fd) for fd in (0, 1)]
        os.posix_spawn("/bin/sh", ["sh", "-c", line.decode()], os.environ, file_actions=streams, setsigdef=[signal.SIGCHLD])


def _copy_input(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the host's end is gone, which the other direction shows
        while data := os.read(0, PIECE_BYTES):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def run(host: str, command: str) -> int:
    """Until the host's end of the connection is gone. The exit status is 255 when it could not be reached."""
    try:
        sock = socket.create_connection((host, PORT), CONNECT_TIMEOUT_S)
    except OSError as error:
        print(f"shell to {host}: {error.strerror or error}", file=sys.stderr, flush=True)
        return 255
    sock.settimeout(None)
    sock.sendall(command.encode() + b"\n")
    threading.Thread(target=_copy_input, args=(sock,), daemon=True).start()
    with contextlib.suppress(OSError):  # the end, in another word
        while data := sock.recv(PIECE_BYTES):
            os.write(1, data)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        os._exit(run(sys.argv[1], sys.argv[2]))
