"""A plain list of machines, reached by what is called `ssh` on the PATH; by names, and by IPv6 addresses."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from perdure.engines.hosts import SSH, HostsEngine
from perdure.errors import ConfigError
from perdure.testing.hosts import Hosts
from tests.engines.test_hosts import granted_addresses
from tests.faults.conftest import PROGRAM, undisturbed

TIMEOUT_S = 60.0
SIX = "fd00::1"
FAKE_SSH = """#!/bin/sh
for word; do all="$all $word"; host=$command; command=$word; done
echo "$host" >> "$0.hosts"
test "ssh$all" = "ssh $(cat "$0.options") $host $command" || exit 99
exec sh -c "$command"
"""


@pytest.fixture
def ssh(tmp_path: pathlib.Path) -> pathlib.Path:
    """Runs the command on the machine that it is called on, notes the host, and refuses other options than ours."""
    path = tmp_path / "ssh"
    path.write_text(FAKE_SSH)
    path.chmod(0o755)
    path.with_name("ssh.options").write_text(" ".join(SSH[1:-1]))
    return path


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("h{}={}", "h{}"),
        (f"me@[{SIX}]", f"me@{SIX}"),
        *(pytest.param(*one, marks=pytest.mark.long) for one in ((f"[{SIX}]", SIX), (f"h{{}}=[{SIX}]", "h{}"))),
    ],
)
def test_the_nodes_are_where_ssh_leads(hosts: Callable[[int], Hosts], ssh: pathlib.Path, name: str, host: str) -> None:
    """And a node that is lost there is replaced. All addresses are of one machine: what is told apart are its nodes."""
    machine = hosts(1)[0]
    try:
        machine.run(["ip", "-batch", "-"], input=f"addr add {SIX}/64 dev eth0 nodad\n")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no IPv6 here: {error.stderr.strip()}")
    nodes = ",".join(name.format(node, machine.address) for node in range(5))
    command = [sys.executable, "-m", "perdure", "run", PROGRAM, "--hosts", nodes, "--ranks", "4", "--commit-every", "3", "--json"]
    command += ["--fault", "kill:node=2,superstep=12", "--", "--supersteps", "40"]
    environment = {**os.environ, "PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    process = machine.popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    report = json.loads(out.splitlines()[-1])
    assert (report["digests"], report["generations"]) == (undisturbed(4, 40).report.digests, 2)
    assert sorted(ssh.with_name("ssh.hosts").read_text().split()) == sorted(host.format(node) for node in range(5))


def test_an_ssh_that_is_not_there_is_one_line() -> None:
    command = [sys.executable, "-m", "perdure", "run", PROGRAM, "--hosts", "10.0.0.1,10.0.0.2", "--ranks", "2", "--spares", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": "/nowhere"}, timeout=TIMEOUT_S, check=False)
    assert ended.returncode != 0
    assert "cannot start the shell ssh for the host 10.0.0.1: No such file or directory" in ended.stderr


def test_an_address_in_brackets_is_the_address() -> None:
    engine = HostsEngine([f"[{SIX}]", f"h1=[{SIX}]", f"me@[{SIX}]", SIX])
    assert set(granted_addresses(engine, 4)) == {f"tcp:{SIX}:0"}
    with pytest.raises(ConfigError, match="::1 here, which is a different machine on each"):
        HostsEngine(["[::1]"])
    with pytest.raises(ConfigError, match=r"has no address .* write \[nowhere=ADDRESS"):
        HostsEngine(["[nowhere"])
