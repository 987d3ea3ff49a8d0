"""Nodes are other machines, reached by a shell: `ssh`, or whatever runs a command on a host with its standard streams here.

    HostsEngine(["node1", "node2", "admin@node3=10.0.0.3"])                               # with ssh
    HostsEngine(["10.0.0.1", "10.0.0.2"], shell=("python", "-m", "some.shell", "{host}"))  # with any other

`shell` is a command with the place of the host in it; what shall run there is added to it as one more argument, a line for a shell. What
an agent needs goes in by standard input, so no secret is in an argument or the environment of anybody. The stream is the node's lifeline:
its end ends the node. The other way it is a hint only, that the node has ended: where a network is cut the two ends see different things,
and a lost node that still runs is fenced by its generation.

The orchestrator is started beside this process. Perdure must be installed on all hosts, for the same Python.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

from perdure.comm.transports import Kind
from perdure.engines import Process, job_environment
from perdure.engines.local import LocalEngine
from perdure.errors import ConfigError, EngineFailed
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.posix import how_it_ended
from perdure.streams.addresses import number_of, tcp_address
from perdure.streams.pairs import adopt, pair
from perdure.streams.protocol import Stream

SSH: Final = (
    "ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "{host}",
)  # fmt: skip
"""Asks nothing of anybody; lets go of a host that is gone, which the job has known for long by then."""
_BRACKETS: Final = re.compile(r"\[([^][]+)\]$")
END_TIMEOUT_S: Final = 2.0
"""For a node to end after it was told to, before its shell is ended instead; arbitrary, and only a host out of reach takes so long."""


class ShellProcess:
    """The near end of a shell: its end means that the node has ended, or is out of reach."""

    def __init__(self, child: subprocess.Popen[bytes], control: ControlStream) -> None:
        self._child, self.control = child, control
        self.pid = child.pid
        self._pidfd = os.pidfd_open(child.pid)
        self._deadline = float("inf")

    def fileno(self) -> int:
        """See `Process.fileno`."""
        return self._pidfd

    def end(self) -> None:
        """Cuts the lifeline."""
        self._deadline = min(self._deadline, time.monotonic() + END_TIMEOUT_S)
        self.control.end_sending()

    def how_it_ended(self) -> str:
        """See `Process.how_it_ended`."""
        self._wait()
        return f"left its shell, which {how_it_ended(self._status())}"

    def _status(self) -> int:
        code = self._child.returncode
        return -code if code < 0 else code << 8

    def _wait(self) -> None:
        try:
            self._child.wait(None if self._deadline == float("inf") else max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait()

    def sweep(self) -> None:
        """See `Process.sweep`: the far end of the shell does it."""

    def reap(self) -> None:
        """See `Process.reap`. What is out of reach ends when it hears that the stream has."""
        self._wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class HostsEngine:
    """Node n is the n-th host. A host may be named several times: then its nodes share its fate."""

    name = "hosts"
    transports: tuple[Kind, ...] = ("tcp",)
    shares_memory = False

    def __init__(self, hosts: Sequence[str], *, shell: Sequence[str] = SSH, python: str = sys.executable) -> None:
        """A host is a name for the shell, or `NAME=ADDRESS` where other hosts know it by another address; labels follow it, as in
        `h1 rack=a`. `python`: the interpreter there.

        Raises:
            ConfigError: a host has no address, or two values for a label, or the shell no place for a host.
        """
        if not any("{host}" in word for word in shell):
            raise ConfigError(f"the shell {shlex.join(shell)!r} does not say where the host stands: write {{host}} in its place")
        self._shell, self._python = tuple(shell), python
        self._hosts = [_host(text.split()[0]) for text in hosts]
        self.labels: Sequence[Mapping[str, str]] = [labels_of(text) for text in hosts]
        self.nodes_max: int | None = len(self._hosts)
        self._local = LocalEngine()
        self.options = ("--hosts", ",".join(hosts), "--shell", shlex.join(shell), "--python", python)
        """Of `perdure run`, that ask for this engine."""

    def address(self, node: int, name: str) -> str:
        """See `Engine.address`: any free port of the host."""
        return tcp_address(self._hosts[node][1])

    def start(self, node: int, what: str, config: bytes) -> Process:
        """See `Engine.start`."""
        if what != "agent":
            return self._local.start(node, what, config)
        host = self._hosts[node][0]
        command = "exec " + shlex.join([self._python, "-P", "-m", "perdure.engines.remote_shim"])
        shell = [word.replace("{host}", host) for word in self._shell]
        ours, theirs = pair()
        try:
            child = subprocess.Popen([*shell, command], stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True)
        except OSError as error:
            ours.close()
            raise EngineFailed(f"cannot start the shell to {host}, {self._shell[0]}: {error.strerror}") from error
        finally:
            theirs.close()
        order = {"environment": job_environment(), "directory": os.getcwd(), "config": json.loads(config)}
        data = json.dumps(order).encode() + b"\n"
        threading.Thread(target=_give, args=(adopt(os.dup(ours.fileno())), data), name=f"order for {host}", daemon=True).start()
        return ShellProcess(child, ControlStream(ours))

    def kill(self, process: Process) -> None:
        """See `Engine.kill`."""
        if isinstance(process, ShellProcess):
            process.end()
        else:
            self._local.kill(process)


def _give(stream: Stream, data: bytes) -> None:
    """On a thread of its own: a shell takes nothing before it has reached its host. It ends with the stream."""
    with contextlib.closing(stream), contextlib.suppress(OSError):  # the shell has ended, which its process tells
        stream.send(data)


def _host(text: str) -> tuple[str, str]:
    """(name for the shell, numeric address). An IPv6 address may be in brackets, which ssh does not know."""
    name, _, address = (_BRACKETS.sub(r"\1", word) for word in text.partition("="))
    known = address or name.rpartition("@")[2]
    try:
        found = number_of(known)
    except OSError as error:
        raise ConfigError(f"the host {known!r} has no address ({error.strerror}): write it as {name}=ADDRESS") from error
    if ipaddress.ip_address(found.partition("%")[0]).is_loopback:
        raise ConfigError(f"the host {known!r} is {found} here, which means another machine on each: write it as {name}=ADDRESS")
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
    """Those that follow a host.

    Raises:
        ConfigError: two values for one, or an address where a label should stand.
    """
    name, *words = host.split()
    found: dict[str, str] = {}
    for word in words:
        label, _, value = word.partition("=")
        if not label or not value or _is_address(value):
            raise ConfigError(
                f"{word!r} after the host {name} is no label NAME=VALUE; another host goes on a line of its own, or after a comma"
            )
        if found.setdefault(label, value) != value:
            raise ConfigError(f"the host {name} has two values for the label {label!r}, {found[label]} and {value}: give it one")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
