"""Nodes are other machines, reached by a shell: `ssh`, or whatever runs a command on a host with its standard streams here.

    HostsEngine(["node1", "node2", "admin@node3=10.0.0.3"])                               # with ssh
    HostsEngine(["10.0.0.1", "10.0.0.2"], shell=("python", "-m", "some.shell", "{host}"))  # with any other

`shell` is a command with the place of the host in it; what shall run there is added to it as one more argument, a line for a shell. What
an agent needs goes in by standard input, so no secret is in an argument or the environment of anybody. The stream is the node's lifeline:
its end ends the node. The other way it is a hint only, that the node has ended: where a network is cut the two ends see different things,
and a lost node that still runs is fenced by its generation.

Perdure must be installed on all hosts, for the same Python.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from perdure.engines.protocol import (
    Capabilities,
    EntryPoint,
    NodeEnded,
    NodeGranted,
    NodeId,
    NodeRequest,
    NodeStarted,
    Post,
    RequestRefused,
    StartRefused,
)
from perdure.engines.remote_shim import order_of
from perdure.errors import ConfigError
from perdure.runtime.posix import descendants, how_it_ended, kill_and_wait
from perdure.runtime.reactor import Reactor, ReactorThread
from perdure.streams.addresses import number_of, tcp_address
from perdure.streams.pairs import adopt, pair
from perdure.streams.protocol import Stream

SSH: Final = (
    "ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "{host}",
)  # fmt: skip
"""Asks nothing of anybody; lets go of a host that is gone, which the job has known for long by then."""
_BRACKETS: Final = re.compile(r"\[([^][]+)\]$")
END_TIMEOUT_S: Final = 2.0
"""Seconds for a node to end after a request, before its shell is killed instead. Arbitrary: only an unreachable host takes so long."""


class _Shell:
    """The near end of a shell: its end means that the node has ended, or is out of reach. Used by the watching thread, once it runs."""

    def __init__(self, child: subprocess.Popen[bytes], lifeline: Stream) -> None:
        """`lifeline`: this process's end of the stream to the node, beside the supervisor's."""
        self.pid = child.pid
        self._child, self._lifeline = child, lifeline
        self._pidfd = os.pidfd_open(child.pid)
        self._is_ending = False

    def fileno(self) -> int:
        """Return a descriptor that is readable when the shell has ended."""
        return self._pidfd

    @property
    def is_running(self) -> bool:
        """Return whether the shell is not reaped yet."""
        return self._pidfd >= 0

    def end(self, reactor: Reactor) -> None:
        """Cut the lifeline; a shell that goes on for `END_TIMEOUT_S` is killed."""
        if self.is_running and not self._is_ending:
            self._is_ending = True
            self.cut()
            reactor.after(END_TIMEOUT_S, self.kill)

    def cut(self) -> None:
        """Let the node receive the end of its stream."""
        with contextlib.suppress(OSError):  # it has ended already
            self._lifeline.end_sending()

    def kill(self) -> None:
        """End the shell, if it runs. What is out of reach ends when it receives the end of the stream."""
        if self.is_running:
            self._child.send_signal(signal.SIGKILL)

    def wait_until(self, deadline: float) -> None:
        """Wait for the end of the shell, which is killed at `deadline` (s, monotonic)."""
        try:
            self._child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def reap(self) -> str:
        """Wait for the end of the shell, and return in words how it has ended."""
        code = self._child.wait()
        os.close(self._pidfd)
        self._pidfd = -1
        self._lifeline.close()
        return how_it_ended(-code if code < 0 else code << 8)


class HostsEngine:
    """Node n is the n-th host. A host may be named several times: then its nodes share its fate. Ends are hints: a shell reports them."""

    name = "hosts"

    def __init__(self, hosts: Sequence[str], *, shell: Sequence[str] = SSH, python: str = sys.executable) -> None:
        """A host is a name for the shell, or `NAME=ADDRESS` where other hosts know it by another address; labels follow it, as in
        `h1 rack=a`. `python`: the interpreter there.

        Raises:
            ConfigError: a host has no address, or two values for a label, or the shell no place for a host.
        """
        if not any("{host}" in word for word in shell):
            raise ConfigError(f"--shell must contain {{host}}, but it is {shlex.join(shell)!r}")
        self._command, self._python = tuple(shell), python
        self._hosts = [_host(text.split()[0]) for text in hosts]
        labels = [labels_of(text) for text in hosts]
        self.capabilities = Capabilities(transports=("tcp",), shares_memory=False, nodes_max=len(self._hosts), labels=labels)
        self.options = ("--hosts", ",".join(hosts), "--shell", shlex.join(shell), "--python", python)
        """The options of `perdure run` that choose this engine."""

    def open(self, job: str, entry_point: EntryPoint, post: Post) -> None:
        """See `Engine.open`."""
        self._entry_point, self._post = entry_point, post
        self._thread = ReactorThread("shells to hosts")
        self._reactor = self._thread.reactor
        self._requests: set[int] = set()
        self._places: dict[NodeId, int] = {}
        """Nodes that were granted -> the positions of their hosts, also when they are released: one may come back."""
        self._held: set[NodeId] = set()
        """Nodes that are not released."""
        self._shells: dict[NodeId, _Shell] = {}
        self._givers: list[threading.Thread] = []
        """Threads that send long orders."""

    def request(self, request: NodeRequest) -> None:
        """See `Engine.request`."""
        if request.number in self._requests:
            return
        self._requests.add(request.number)
        used = {self._places[node] for node in self._held}
        free = [place for place in range(len(self._hosts)) if place not in used]
        if not free:
            self._post(RequestRefused(request=request.number, reason=f"all {len(self._hosts)} hosts are in use"))
            return
        before = None if request.replaces is None else self._places.get(request.replaces)
        place = before if before in free else free[0]
        name, address = self._hosts[place]
        node = NodeId(f"hosts/{name}/{request.number}")
        self._places[node] = place
        self._held.add(node)
        self._post(NodeGranted(request=request.number, node=node, listen=tcp_address(address)))

    def cancel(self, number: int) -> None:
        """See `Engine.cancel`: every request is answered at once."""

    def start(self, node: NodeId, config: bytes) -> None:
        """See `Engine.start`."""
        if node in self._shells or node not in self._held:
            return
        host = self._hosts[self._places[node]][0]
        command = "exec " + shlex.join([self._python, "-P", "-m", "perdure.engines.remote_shim"])
        words = [word.replace("{host}", host) for word in self._command]
        ours, theirs = pair()
        try:
            child = subprocess.Popen([*words, command], stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True)
        except OSError as error:
            ours.close()
            self._post(StartRefused(node=node, reason=f"cannot start the shell {words[0]} for the host {host}: {error.strerror}"))
            return
        finally:
            theirs.close()
        shell = self._shells[node] = _Shell(child, adopt(os.dup(ours.fileno())))
        data = memoryview(order_of(self._entry_point, config))
        rest = data[_sent_at_once(ours, data) :]
        if rest:
            giver = threading.Thread(target=self._give, args=(node, shell, ours, rest), name=f"order for {host}", daemon=True)
            self._givers.append(giver)
            giver.start()
        else:
            self._begun(node, shell, ours)

    def _give(self, node: NodeId, shell: _Shell, control: Stream, rest: memoryview) -> None:
        """On a thread of its own: a shell takes little before it has reached its host. It ends with the shell."""
        with contextlib.suppress(OSError):  # the shell has ended, which is reported
            control.send(rest)
        self._begun(node, shell, control)

    def _begun(self, node: NodeId, shell: _Shell, control: Stream) -> None:
        """The order is given, so the supervisor may send after it."""
        self._post(NodeStarted(node=node, control=control, local_pid=shell.pid))
        self._reactor.post(lambda: self._reactor.watch(shell, lambda: self._ended(node, shell)))

    def _ended(self, node: NodeId, shell: _Shell) -> None:
        self._reactor.unwatch(shell)
        self._post(NodeEnded(node=node, how=f"left its shell, which {shell.reap()}", is_certain=False))

    def end(self, node: NodeId) -> None:
        """See `Engine.end`."""
        shell = self._shells.get(node)
        if shell is not None:
            self._reactor.post(lambda: shell.end(self._reactor))

    def release(self, node: NodeId) -> None:
        """See `Engine.release`: another request may have the host."""
        self.end(node)
        self._held.discard(node)

    def record(self) -> None:
        """See `Engine.record`: it has none."""

    def close(self) -> None:
        """See `Engine.close`. A shell to a host that is out of reach has `END_TIMEOUT_S`; the node ends when it receives the end of its
        stream."""
        self._thread.close()
        running = [shell for shell in self._shells.values() if shell.is_running]
        below = descendants(*(shell.pid for shell in running))
        for shell in running:
            shell.cut()
        deadline = time.monotonic() + END_TIMEOUT_S
        for shell in running:
            shell.wait_until(deadline)
            shell.reap()
        kill_and_wait(below)
        for giver in self._givers:
            giver.join(END_TIMEOUT_S)
        self._shells.clear()
        self._held.clear()


def _sent_at_once(stream: Stream, data: memoryview) -> int:
    """Return how many bytes a shell that may have ended takes now; of one that has, all: nobody waits for them."""
    try:
        return stream.try_send([data])
    except OSError:
        return len(data)


def _host(text: str) -> tuple[str, str]:
    """(name for the shell, numeric address). An IPv6 address may be in brackets, which ssh does not know."""
    name, _, address = (_BRACKETS.sub(r"\1", word) for word in text.partition("="))
    known = address or name.rpartition("@")[2]
    try:
        found = number_of(known)
    except OSError as error:
        raise ConfigError(f"the host {known!r} has no address ({error.strerror}): write {name}=ADDRESS") from error
    if ipaddress.ip_address(found.partition("%")[0]).is_loopback:
        raise ConfigError(f"the host {known!r} is {found} here, which is a different machine on each host: write {name}=ADDRESS")
    return name, found


def parse_hosts(text: str) -> list[str]:
    """`h1,h2,h3`, or the lines of a file; labels follow a host as `NAME=VALUE`; what follows a # in a line is left out."""
    found: list[str] = []
    for line in text.splitlines():
        for piece in line.partition("#")[0].split(","):
            for place, word in enumerate(piece.split()):
                if place and "=" in word:
                    found[-1] += f" {word}"
                else:
                    found.append(word)
    return found


def labels_of(host: str) -> dict[str, str]:
    """Return the labels that follow a host.

    Raises:
        ConfigError: two values for one, or an address where a label should stand.
    """
    name, *words = host.split()
    found: dict[str, str] = {}
    for word in words:
        label, _, value = word.partition("=")
        if not label or not value or _is_address(value):
            raise ConfigError(
                f"{word!r} after the host {name} is not a label NAME=VALUE; write another host on its own line, or after a comma"
            )
        if found.setdefault(label, value) != value:
            raise ConfigError(f"the host {name} has two values for the label {label!r}, {found[label]} and {value}: give it only one")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
