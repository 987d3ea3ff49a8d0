"""The engine of hosts passes the suite of engines; the hosts are namespaces of this machine."""

from __future__ import annotations

import inspect
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perdure.engines.hosts import HostsEngine
from perdure.testing import EngineTests, engines
from perdure.testing.engines import OpenEngine
from perdure.testing.hosts import Hosts

TIMEOUT_S = 60.0


class TestHosts(EngineTests):
    @pytest.fixture(autouse=True)
    def four_hosts(self, hosts: Callable[[int], Hosts]) -> None:
        self.hosts = hosts(4)

    def make(self) -> HostsEngine:
        """This process is on no host, so its shell enters them."""
        nodes = list(self.hosts)[1:]
        cases = " ".join(f'{host.address}) exec {shlex.join(host.enter(["sh", "-c"]))} "$2";;' for host in nodes)
        return HostsEngine([host.address for host in nodes], shell=("sh", "-c", f'case "$1" in {cases} esac', "sh", "{host}"))

    def run_ring(self, *faults: str) -> tuple[Any, int]:
        """From a host: the orchestrator must reach the agents."""
        names = ",".join(host.address for host in list(self.hosts)[1:])
        command = [sys.executable, "-m", "perdure", "run", f"{inspect.getfile(engines)}:ring", "--hosts", names]
        command += ["--shell", shlex.join(Hosts.shell), "--ranks", "2", "--spares", "1", "--json"]
        command += [word for fault in faults for word in ("--fault", fault)]
        process = self.hosts[0].popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, err
        report = json.loads(out.splitlines()[-1])
        return report["result"], report["generations"]

    def test_the_end_of_a_host_is_a_hint(self) -> None:
        """All that is known here is that its shell has ended."""
        with self.opened() as opened:
            node = opened.granted()
            opened.started(node)
            self.hosts[1].kill()
            ended = opened.ended(node)
            assert not ended.is_certain
            assert "left its shell" in ended.how

    def test_a_host_is_free_again_when_its_node_is_released(self) -> None:
        with self.opened() as opened:
            nodes = [opened.granted() for _ in range(3)]
            opened.engine.release(nodes[2])
            opened.engine.release(nodes[1])
            assert opened.granted(replaces=nodes[2]).startswith(f"hosts/{self.hosts[3].address}/")
            assert opened.granted().startswith(f"hosts/{self.hosts[2].address}/")


def test_a_host_that_no_shell_reaches_is_refused() -> None:
    opened = OpenEngine(HostsEngine(["10.0.0.1"], shell=("/no/such/shell", "{host}")))
    node = opened.granted()
    opened.engine.start(node, b"")
    refused = opened.posted.get(timeout=TIMEOUT_S)
    assert "cannot start the shell /no/such/shell for the host 10.0.0.1" in getattr(refused, "reason", "")
    opened.close()
