"""Jobs on several hosts, each with a fault of its own kind: they end with the bits of an undisturbed run."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import perdure
from perdure.engines import NodeRequest
from perdure.engines.hosts import HostsEngine, parse_hosts
from perdure.errors import ConfigError
from perdure.testing.hosts import Host, Hosts
from tests.faults.conftest import PROGRAM, Story, undisturbed

MakeHosts = Callable[[int], Hosts]
DEADLINE_S = 40.0
SUPERSTEPS = 40
LOADED_S = 1.0
"""What a machine that does other things may add to the milliseconds in which a dead process is known."""
SILENT_S = 3.5
"""In which silence is known, and a link that is cut one way: 3 s, what passes until the deadlines are looked at, and the seal."""
STRIKE_AT = 9


@dataclass
class Told:
    """What `perdure run` said: events, the report, and when the fault came on the clock of the events."""

    events: list[dict[str, Any]] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    struck_at: float = 0.0
    status: int = -1

    def of(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]


def run(hosts: Hosts, strike: Callable[[Host, Host], object], *options: str, pause: float = 0.03, supersteps: int = SUPERSTEPS) -> Told:
    """Runs on all hosts but the first, from which it is started. In the middle comes `strike(victim, another)`, nodes 2 and 1."""
    told = Told()
    names = ",".join(host.address for host in list(hosts)[1:])
    command = [sys.executable, "-m", "perdure", "run", PROGRAM, "--hosts", names, "--shell", shlex.join(hosts.shell)]
    command += ["--ranks", "4", "--commit-every", "3", "--events", "/dev/stdout", "--json", *options]
    command += ["--", "--supersteps", str(supersteps), "--pause", str(pause)]
    process = hosts[0].popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if "event" not in said:
            told.report = said
            continue
        told.events.append(said)
        if not told.struck_at and said["event"] == "progress" and said["superstep"] >= STRIKE_AT:
            told.struck_at = said["t"]
            strike(hosts[3], hosts[2])
    watchdog.cancel()
    told.status = process.wait()
    assert told.status == 0, f"exit status {told.status} after {told.events[-5:]}"
    return told


def assert_as_undisturbed(told: Told, supersteps: int = SUPERSTEPS) -> None:
    expected: Story = undisturbed(4, supersteps)
    assert told.report["digests"] == expected.report.digests
    assert told.report["result"] == json.loads(expected.report.to_json())["result"]
    committed = {event["superstep"]: event["digests"] for event in told.of("committed")}
    theirs = expected.committed()
    assert all(committed[superstep] == theirs[superstep] for superstep in committed.keys() & theirs.keys())


@pytest.mark.long
@pytest.mark.parametrize(
    ("strike", "reason"),
    [
        (lambda victim, other: victim.power_off(), "silent for 3 s"),
        (lambda victim, other: victim.stop(), "silent for 3 s"),
        (lambda victim, other: victim.link_down(), "silent for 3 s"),
        (lambda victim, other: victim.kill(), "left its shell"),
        (lambda victim, other: victim.cut(other), "cut off from 1 of its group"),
    ],
    ids=["power_off", "stop", "link_down", "kill", "one_way_cut"],
)
def test_a_host_is_lost_and_replaced(hosts: MakeHosts, strike: Callable[[Host, Host], None], reason: str) -> None:
    told = run(hosts(6), strike)
    assert_as_undisturbed(told)
    (lost,) = told.of("node_lost")
    assert reason in lost["reason"]
    assert lost["t"] - told.struck_at < (LOADED_S if "left" in reason else SILENT_S)
    assert lost["node"] in ((1, 2) if "cut off" in reason else (2,)), "one of the two ends is to go"
    assert told.of("generation_started")[-1]["placement"][str(lost["node"])] == 4
    assert sorted(start["rank"] for start in told.of("worker_started")) == sorted([0, 1, 2, 3, lost["node"]])
    assert told.report["generations"] == 2


def test_a_dead_process_is_known_at_once_and_named(hosts: MakeHosts) -> None:
    """Its host says so; without that word it would be silent for 3 s."""
    told = run(hosts(6), lambda victim, other: None, "--fault", "kill:node=2,superstep=12")
    assert_as_undisturbed(told)
    (fault,), (lost,) = told.of("fault"), told.of("node_lost")
    assert lost["reason"] == "killed by SIGKILL"
    assert lost["t"] - fault["t"] < LOADED_S


@pytest.mark.long
def test_a_host_that_comes_back_changes_nothing(hosts: MakeHosts) -> None:
    """It was lost while its link was down: what it says late is fenced, and it ends when it hears that its shell is closed."""
    six = hosts(6)
    heal = threading.Timer(4.0, lambda: six[3].link_up())

    def strike(victim: Host, other: Host) -> None:
        victim.link_down()
        heal.start()

    told = run(six, strike, supersteps=80)
    heal.join()
    assert_as_undisturbed(told, 80)
    assert [event["node"] for event in told.of("node_lost")] == [2]
    assert told.report["generations"] == 2
    deadline = time.monotonic() + DEADLINE_S
    while six[3].pids():
        assert time.monotonic() < deadline, "the lost node still runs"


@pytest.mark.long
def test_a_host_that_comes_back_has_what_a_second_loss_took(hosts: MakeHosts) -> None:
    """Its rank is being rebuilt elsewhere when another host of the group ends: too little is left until its link is up again."""
    seven = hosts(7)
    heal = threading.Timer(6.0, lambda: seven[3].link_up())

    def strike(victim: Host, other: Host) -> None:
        victim.link_down()
        heal.start()

    told = run(seven, strike, "--spares", "2", "--fault", "kill:node=0,phase=rebuilding")
    heal.join()
    assert_as_undisturbed(told)
    assert [event["node"] for event in told.of("node_lost")] == [2, 0]
    assert [event["nodes"] for event in told.of("waiting")] == [[2]]
    assert told.of("custodian")[0]["ranks"] == [2]


@pytest.mark.long
def test_a_short_cut_and_a_slow_link_lose_nobody(hosts: MakeHosts) -> None:
    six = hosts(6)
    back = threading.Timer(1.5, lambda: six[3].link_up())

    def strike(victim: Host, other: Host) -> None:
        other.slow(10)
        victim.link_down()
        back.start()

    told = run(six, strike)
    assert_as_undisturbed(told)
    assert not told.of("node_lost")
    assert told.report["generations"] == 1


def granted_addresses(engine: HostsEngine, count: int) -> list[str]:
    """Of the first nodes that are requested."""
    granted: list[Any] = []
    engine.open("j", ("a.module",), granted.append)
    for number in range(count):
        engine.request(NodeRequest(number=number))
    engine.close()
    return [event.listen for event in granted]


def test_what_the_operator_got_wrong_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"--shell must contain \{host\}"):
        HostsEngine(["10.0.0.1"], shell=("ssh",))
    with pytest.raises(ConfigError, match=r"no\.such\.host\.invalid' has no address .* write no\.such\.host\.invalid=ADDRESS"):
        HostsEngine(["no.such.host.invalid"])
    with pytest.raises(ConfigError, match="is a different machine on each host"):
        HostsEngine(["127.0.0.1"])
    engine = HostsEngine(["10.0.0.1", "me@10.0.0.2", "name=10.0.0.3"])
    assert granted_addresses(engine, 3) == ["tcp:10.0.0.1:0", "tcp:10.0.0.2:0", "tcp:10.0.0.3:0"]
    with pytest.raises(ConfigError, match=r"the job needs 5 nodes .* but there are only 3 hosts"):
        perdure.run(PROGRAM, engine=engine, ranks=4, spares=1)
    with pytest.raises(ConfigError, match="supports the transport tcp, not 'shared'"):
        perdure.run(PROGRAM, engine=engine, ranks=2, spares=1, transport="shared")
    assert parse_hosts("h1, h2\nh3  # the big one\n# none\n") == ["h1", "h2", "h3"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--hosts-file", "nowhere.txt"], "--hosts-file nowhere.txt: "),
        (["--hosts", " , "], "--hosts contains no host"),
        (["--hosts", "10.0.0.1", "--engine", "threads"], "exclude each other"),
        (["--hosts", "10.0.0.1", "--hosts-file", "nowhere.txt"], "exclude each other"),
        (["--shell", "sh -c"], "--shell and --python need --hosts"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong_with_hosts(options: list[str], text: str) -> None:
    command = [sys.executable, "-m", "perdure", "run", PROGRAM, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_shells_that_reach_nobody_are_an_error_that_says_so() -> None:
    engine = HostsEngine(["10.0.0.1", "10.0.0.2"], shell=("sh", "-c", "echo hello; exit 7 # {host}"))
    with pytest.raises(perdure.EngineFailed, match=r"no node could be started \(left its shell, which exited with status 7\)"):
        perdure.run(PROGRAM, engine=engine, ranks=2, spares=0)


def test_an_address_that_is_not_the_hosts_is_an_error_that_says_so() -> None:
    engine = HostsEngine(["a=203.0.113.7", "b=203.0.113.8"], shell=("env", "HOST={host}", "sh", "-c"))
    with pytest.raises(ConfigError, match=r"node \d cannot listen at 203\.0\.113\.\d: .* use an address of its host"):
        perdure.run(PROGRAM, engine=engine, ranks=2, spares=0)
