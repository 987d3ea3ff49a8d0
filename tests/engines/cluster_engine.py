"""An engine as those of clusters are: requests wait in a queue, each node is held by a process of somebody else's, and dials back.

Nothing of a node but a TCP stream reaches the process of the supervisor, so what passes here shows that the protocol needs no more.
"""

from __future__ import annotations

import secrets
import select
import subprocess
import sys
import threading
from dataclasses import dataclass

from perdure.engines import (
    Capabilities,
    EngineRecord,
    EntryPoint,
    NodeEnded,
    NodeGranted,
    NodeId,
    NodeRequest,
    NodeStarted,
    Post,
    RequestPending,
    StartRefused,
)
from perdure.engines.remote_shim import order_of
from perdure.streams import Stream, listen
from perdure.streams.addresses import tcp_address

HERE = "127.0.0.1"
KEEPER = """
import os, socket, sys
host, port, token = sys.argv[1:]
sock = socket.create_connection((host, int(port)))
sock.sendall(token.encode())
for fd in (0, 1):
    os.dup2(sock.fileno(), fd)
os.execv(sys.executable, [sys.executable, "-P", "-m", "perdure.engines.remote_shim"])
"""
"""What the cluster starts on a node."""
DIALS_S = 30.0
LOOK_AGAIN_S = 0.1


@dataclass
class Node:
    """A node that is granted, and not released."""

    keeper: subprocess.Popen[bytes] | None = None


class ClusterEngine:
    """Three nodes; what is asked for beyond them waits in a queue. The record is as that of a cluster: a store beside it."""

    name = "cluster"
    capabilities = Capabilities(transports=("tcp",), shares_memory=True, nodes_max=3)

    def __init__(self, record: EngineRecord | None = None) -> None:
        self._record = record

    def open(self, job: str, entry_point: EntryPoint, post: Post) -> None:
        self._entry_point, self._post = entry_point, post
        self._lock = threading.Lock()
        self._queue: list[int] = []
        self._seen: set[int] = set()
        self._nodes: dict[NodeId, Node] = {}
        self._threads: list[threading.Thread] = []

    def request(self, request: NodeRequest) -> None:
        with self._lock:
            if request.number in self._seen:
                return
            self._seen.add(request.number)
            self._queue.append(request.number)
        self._post(RequestPending(request=request.number, reason="queued"))
        self._on_a_thread(self._schedule)

    def _schedule(self) -> None:
        with self._lock:
            while self._queue and len(self._nodes) < 3:
                number = self._queue.pop(0)
                node = NodeId(f"cluster/{number}")
                self._nodes[node] = Node()
                self._post(NodeGranted(request=number, node=node, listen=tcp_address(HERE)))

    def cancel(self, number: int) -> None:
        with self._lock:
            if number in self._queue:
                self._queue.remove(number)

    def start(self, node: NodeId, config: bytes) -> None:
        held = self._nodes.get(node)
        if held is None or held.keeper is not None:
            return
        listener, token = listen(tcp_address(HERE)), secrets.token_hex(16)
        _, host, port = listener.address.split(":")
        held.keeper = subprocess.Popen([sys.executable, "-c", KEEPER, host, port, token], start_new_session=True)

        def serve() -> None:
            assert held.keeper is not None
            while not select.select([listener], [], [], LOOK_AGAIN_S)[0]:
                if held.keeper.poll() is not None:
                    listener.close()
                    self._post(StartRefused(node=node, reason="its keeper has not dialled"))
                    return
            control: Stream = listener.accept()
            listener.close()
            control.set_timeout(DIALS_S)
            said = bytearray(len(token))
            control.receive_exactly(memoryview(said))
            assert said == token.encode()
            control.send(order_of(self._entry_point, config))
            control.set_timeout(None)
            self._post(NodeStarted(node=node, control=control))
            self._post(NodeEnded(node=node, how=f"left its keeper ({held.keeper.wait()})", is_certain=False))

        self._on_a_thread(serve)

    def end(self, node: NodeId) -> None:
        held = self._nodes.get(node)
        if held is not None and held.keeper is not None:
            held.keeper.kill()

    def release(self, node: NodeId) -> None:
        self.end(node)
        with self._lock:
            self._nodes.pop(node, None)
        self._schedule()

    def record(self) -> EngineRecord | None:
        return self._record

    def close(self) -> None:
        with self._lock:
            self._queue.clear()
        for node in list(self._nodes):
            self.release(node)
        for thread in self._threads:
            thread.join()

    def _on_a_thread(self, action: object) -> None:
        self._threads.append(threading.Thread(target=action, daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()
