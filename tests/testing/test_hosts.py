"""What a host of `perdure.testing.hosts` is: faults do to it what its machine's would, and nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from perdure.testing.hosts import Host, Hosts

MakeHosts = Callable[[int], Hosts]
DEADLINE_S = 10.0
ECHO = """
import socket
server = socket.create_server(("", 7000)); print("up", flush=True)
peer, _ = server.accept()
while data := peer.recv(9): peer.sendall(data)
"""
CLIENT = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 7000), 5); peer.settimeout(1)
peer.sendall(b"x"); assert peer.recv(1); print("connected", flush=True)
sys.stdin.readline()
try: peer.sendall(b"y"); print("data" if peer.recv(1) else "end")
except TimeoutError: print("silence")
except OSError: print("end")
"""


DIAL = """
import sys
from perdure.streams import connect
connect(sys.argv[1]); print("connected")
"""


def sees(client: Host, server: Host, fault: Callable[[], None]) -> str:
    """What a connection of `client` to `server` shows after the fault."""
    echo = server.popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
    assert echo.stdout is not None
    assert echo.stdout.readline() == "up\n"
    command = [sys.executable, "-c", CLIENT, server.address]
    process = client.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    fault()
    return process.communicate("\n")[0].strip()


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        (lambda host, other: None, "data"),
        (lambda host, other: host.kill(), "end"),
        (lambda host, other: host.power_off(), "silence"),
        (lambda host, other: host.stop(), "silence"),
        (lambda host, other: host.link_down(), "silence"),
        (lambda host, other: host.cut(other), "silence"),
        (lambda host, other: other.cut(host), "silence"),
        (lambda host, other: host.loss(1.0), "silence"),
        (lambda host, other: (host.stop(), host.cont()), "data"),
        (lambda host, other: (host.link_down(), host.link_up()), "data"),
        (lambda host, other: (host.cut(one_way=False), host.heal(), other.heal()), "data"),
        (lambda host, other: host.slow(1), "data"),
    ],
    ids=["none", "kill", "power_off", "stop", "link_down", "cut", "cut_of_the_other", "loss", "cont", "link_up", "heal", "slow"],
)
def test_a_peer_sees_what_it_would_of_a_machine(hosts: MakeHosts, fault: Callable[[Host, Host], object], shows: str) -> None:
    two = hosts(2)
    assert sees(two[1], two[0], lambda: fault(two[0], two[1])) == shows


def test_a_cut_to_one_host_leaves_the_others(hosts: MakeHosts) -> None:
    three = hosts(3)
    assert sees(three[1], three[0], lambda: three[0].cut(three[2])) == "data"


def test_a_host_has_its_own_processes_and_no_way_out(hosts: MakeHosts) -> None:
    (host,) = hosts(1)
    assert host.run(["sh", "-c", "echo $$; ip route; ls -A /dev/shm"]).stdout.split()[1:3] == ["198.18.0.0/24", "dev"]
    process = host.popen(["sleep", "60"])
    deadline = time.monotonic() + DEADLINE_S
    while not host.pids():
        assert time.monotonic() < deadline, "its process is not among those of the host"
    host.kill()
    assert process.wait(DEADLINE_S) != 0


def test_a_user_without_rights_has_hosts_in_a_user_namespace(hosts: MakeHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.testing.hosts._may_unshare", lambda: False)
    two = hosts(2)
    assert os.readlink("/proc/self/ns/user") != os.readlink(f"/proc/{two[0].init}/ns/user")
    assert sees(two[1], two[0], lambda: two[0].loss(0.0)) == "data"
    two[0].kill()


def test_the_shell_is_a_shell(hosts: MakeHosts) -> None:
    two = hosts(2)
    shell = [word.replace("{host}", two[1].address) for word in two.shell]
    assert two[0].run([*shell, "hostname; cat"], input="said").stdout == "h1\nsaid"
    unreachable = subprocess.run(two[0].enter([*shell[:-1], "198.18.0.9", "true"]), capture_output=True, text=True, check=False)
    assert unreachable.returncode == 255
    assert "198.18.0.9" in unreachable.stderr


HOLDER = """
import time
from perdure.testing.hosts import Hosts
def until(condition):
    while not condition():
        time.sleep(0.01)
with Hosts(2) as two:
    sleepers = [host.popen(["sleep", "1000"]) for host in two]
    until(lambda: two[1].pids())
    two[1].stop()
    until(lambda: open(f"/proc/{sleepers[1].pid}/stat").read().rpartition(")")[2].split()[0] == "T")
    print(two.switch.init, *(host.init for host in two), flush=True)
    time.sleep(1000)
"""
"""The way in to a stopped process stops too, a moment later; it must not keep the host."""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_whatever_ends_the_test(hosts: MakeHosts, sign: signal.Signals) -> None:
    hosts(1)
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    pidfds = [os.pidfd_open(int(pid)) for pid in process.stdout.readline().split()]
    namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in _children_of(process.pid)}
    assert len(pidfds) == 3
    process.send_signal(sign)
    process.communicate()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], DEADLINE_S)[0], "process 1 of a host is left"
        os.close(pidfd)
    ours = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + DEADLINE_S
    while left := _in_namespaces(namespaces - {ours}):
        assert time.monotonic() < deadline, f"processes {left} are left"


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _in_namespaces(namespaces: set[str]) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if os.readlink(f"/proc/{entry}/ns/net") in namespaces:
                    found.append(int(entry))
    return found


def test_a_connection_is_made_when_a_link_is_back_that_was_down_for_longer_than_the_kernel_waits(hosts: MakeHosts) -> None:
    """After three seconds connect(2) fails with EHOSTUNREACH; a job waits longer for a node."""
    client, server = hosts(2)
    listening = server.popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
    assert listening.stdout is not None
    assert listening.stdout.readline() == "up\n"
    client.link_down()
    link_up = threading.Timer(4.0, client.link_up)
    link_up.start()
    began = time.monotonic()
    dialled = client.run([sys.executable, "-c", DIAL, f"tcp:{server.address}:7000"])
    took_s = time.monotonic() - began
    link_up.join()
    assert dialled.stdout == "connected\n", dialled
    assert took_s > 3.5
