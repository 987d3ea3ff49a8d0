"""The command as a person or a script uses it: output, exit status, and nothing left behind whatever ends it."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from tests.faults.conftest import PROGRAM
from tests.runtime.test_dirty_pages import can_watch

import perdure

DEADLINE_S = 30.0
LOOK_AGAIN_S = 0.01
"""Between two looks at a condition that nothing announces: jobs need the cores meanwhile."""


def command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "perdure", *words], capture_output=True, text=True, timeout=60, check=False, **options)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(LOOK_AGAIN_S)


def test_json_and_events_hold_what_is_promised(tmp_path: pathlib.Path) -> None:
    events = tmp_path / "events.jsonl"
    done = command(
        "run",
        PROGRAM,
        "--commit-every",
        "3",
        "--fault",
        "kill:node=2,superstep=20",
        "--json",
        "--events",
        str(events),
        "--",
        "--supersteps",
        "40",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert set(report) >= {"result", "digests", "supersteps", "generations", "losses", "seconds", "bytes", "memory_bytes"}
    assert set(report["seconds"]) == {"compute", "protect", "detect", "reform", "rebuild", "replay"}
    assert set(report["bytes"]) == {"application", "parity", "rebuild"}
    assert set(report["memory_bytes"]) == {"live", "snapshots", "parity"}
    assert (report["supersteps"], report["generations"], report["losses"]) == (40, 2, 1)
    assert all(report["bytes"].values())
    assert report["seconds"]["rebuild"] > 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert all({"t", "event"} <= set(line) for line in lines)
    first = {line["event"]: line for line in lines[::-1]}
    promised = {
        "agent_started": {"node", "pid"}, "worker_started": {"rank", "node", "pid", "incarnation", "generation"},
        "committed": {"superstep"}, "node_lost": {"node", "reason"}, "rebuilt": {"rank", "bytes", "seconds"},
        "generation_started": {"generation", "placement"}, "resumed": {"superstep"}, "finished": {"status"},
    }  # fmt: skip
    for name, fields in promised.items():
        assert fields <= set(first[name]), name
    assert "node 2 is lost" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["run", "nope.py"], 2, "the program 'nope.py' does not exist"),
        (["run", PROGRAM, "--rank", "3"], 2, "No such option"),
        (["run", PROGRAM, "--", "--nix", "3"], 2, "main takes no argument --nix; it takes --supersteps"),
        (["run", PROGRAM, "--", "--supersteps", "x"], 2, "--supersteps: 'x' is not a valid int"),
        (["run", PROGRAM, "--", "5"], 2, "write arguments of the program as --name value"),
        (["run", PROGRAM, "--node-label", "0:rack=a"], 2, "needs --failure-domains"),
        (["run", PROGRAM, "--failure-domains", "rack", "--node-label", "0:rack=a"], 2, "node 1 has no label 'rack'"),
        (["run", PROGRAM, "--group-size", "some"], 2, "--group-size must be a number of ranks or auto, not 'some'"),
        (["plan", PROGRAM, "--group-size", "1"], 2, "needs parity groups of more than 1 ranks"),
        (["plan", PROGRAM, "--group-size", "auto", "--node-memory", "0"], 2, "--node-memory must be more than 0 GB"),
        (["plan", PROGRAM, "--racks", "0"], 2, "--racks must be 1 or more"),
        (["plan", PROGRAM, "--hosts", "h1 rack=a rack=b", "--failure-domains", "rack"], 2, "two values for the label 'rack'"),
        (["run", PROGRAM, "--commit-every", "sometimes"], 2, "--commit-every"),
        (["run", PROGRAM, "--events", "/nowhere/e.jsonl"], 2, "No such file"),
        (["run", PROGRAM, "--parity", "0", "--fault", "kill:node=1,superstep=3"], 3, "use --parity 1"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(words: list[str], status: int, text: str) -> None:
    done = command(*words)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == status
    assert last.startswith("perdure: error: ")
    assert text.lower() in last.lower()
    assert "Traceback" not in done.stderr


def test_a_failed_program_shows_its_traceback_once_and_exits_with_1(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "fails.py"
    body = "if step == 3 and job.rank == 1:\n            raise RuntimeError('no')"
    path.write_text(f"def main(job):\n    for step in job.supersteps(9):\n        {body}\n")
    done = command("run", str(path))
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "perdure: rank 1, superstep 3:\nTraceback" in done.stderr
    assert done.stderr.endswith("the program failed: rank 1, superstep 3: RuntimeError: no; its traceback is above\n")


def test_a_rack_that_holds_too_much_is_told_by_plan_and_run() -> None:
    shape = ["--racks", "2", "--group-size", "4", "--spares", "0"]
    text = "warning: rack 0 holds 2 members of group 0 (ranks 0, 2): its loss is more than parity 1 can rebuild"
    assert text in command("plan", PROGRAM, *shape).stdout
    done = command("run", PROGRAM, *shape, "--", "--supersteps", "3")
    assert text in done.stderr
    assert text.replace(": rack", "      rack") in done.stdout
    spread = command("plan", PROGRAM, "--racks", "2")
    assert "warning" not in spread.stdout
    assert "parity groups: 2, of 2 ranks" in spread.stdout


def test_labels_of_hosts_that_are_not_needed_do_not_matter() -> None:
    hosts = ",".join(f"h{number} rack={number % 3}" for number in range(9))
    done = command("plan", PROGRAM, "--failure-domains", "rack,node", "--hosts", hosts, "--parity", "2")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout


def test_the_chosen_group_size_is_told_with_its_reason() -> None:
    """By plan from the state that was declared; by run before there is one."""
    planned = command("plan", PROGRAM, "--ranks", "16", "--group-size", "auto")
    assert "group size: 8 ranks per group: memory 3.29 times the state; with 1 days between a node's failures" in planned.stdout
    assert "parity groups: 2, of 8 ranks" in planned.stdout
    often = command("plan", PROGRAM, "--ranks", "16", "--group-size", "auto", "--setting", "mean_time_between_failures_s=20000")
    assert "in groups of 8 or more it is above 0.001" in often.stdout
    done = command("run", PROGRAM, "--group-size", "auto", "--", "--supersteps", "3")
    assert done.returncode == 0, done.stderr
    assert "group size: 4 ranks per group: memory 3.67 times the state; " in done.stderr


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "with a stopped node"])
def test_whatever_ends_the_command_ends_every_process(tmp_path: pathlib.Path, signum: int, status: int, stopped: bool) -> None:
    events = tmp_path / "events.jsonl"
    faults = ["--fault", "stop:node=1,superstep=4"] if stopped else []
    process = subprocess.Popen(
        [
            sys.executable, "-m", "perdure", "run", PROGRAM, "--events", str(events), *faults,
            "--", "--supersteps", "100000", "--pause", "0.01",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        awaited = '"event": "fault"' if stopped else '"superstep": 4'
        wait_for(lambda: events.exists() and awaited in events.read_text(), "the job did not start")
        pids = {json.loads(line)["pid"] for line in events.read_text().splitlines() if '"pid"' in line}
        assert len(pids) == 10, f"an orchestrator, five agents, four workers: {pids}"
        process.send_signal(signum)
        assert process.wait(DEADLINE_S) == status
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids), f"left behind: {[pid for pid in pids if alive(pid)]}")


def test_a_run_gives_back_its_files_and_processes() -> None:
    before = set(os.listdir("/proc/self/fd"))
    perdure.run(PROGRAM, commit_every=3, faults=["kill:node=1,superstep=9"], arguments={"supersteps": 20})
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_rehearse_names_what_is_not_declared(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "forgets.py"
    path.write_text(
        "import numpy as np\n"
        "heat = np.zeros(4)\n"
        "def main(job):\n"
        "    plate = job.private('plate', np.zeros(4))\n"
        "    for s in job.supersteps(20):\n"
        "        heat[:] += s\n"
        "        plate += heat\n"
    )
    done = command("rehearse", str(path), "--ranks", "3")
    assert done.returncode == 1
    assert "'plate' differs on rank" in done.stdout
    assert "not declared" in done.stdout


def test_rehearse_of_a_program_that_recovers() -> None:
    done = command("rehearse", PROGRAM, "--rehearsals", "1", "--", "--supersteps", "10")
    assert done.returncode == 0, done.stdout
    assert "the program recovers" in done.stdout


@pytest.mark.skipif(not can_watch(), reason="this kernel does not tell which pages were written")
@pytest.mark.parametrize("words", [[], ["--track-writes"]])
def test_writes_are_tracked_if_that_is_asked_for(words: list[str], tmp_path: pathlib.Path) -> None:
    program = tmp_path / "asks.py"
    program.write_text("def main(job):\n    return job._memo.tracker is not None\n")
    done = command("run", str(program), "--ranks", "2", "--spares", "0", "--json", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["result"] is bool(words)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["rehearse", "--help"], ["plan", "--help"], ["--version"], ["doctor"]])
def test_help_is_there(words: list[str]) -> None:
    assert command(*words).returncode == 0


def test_a_full_disk_under_the_event_file_is_told_once_and_does_not_end_the_job() -> None:
    done = command("run", PROGRAM, "--events", "/dev/full", "--", "--supersteps", "5")
    assert done.returncode == 0
    assert done.stderr.count("No space left") == 1


def test_a_full_disk_under_the_standard_output_is_one_line() -> None:
    line = f"{sys.executable} -m perdure run {PROGRAM} -- --supersteps 5 > /dev/full"
    done = subprocess.run(line, shell=True, timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "perdure: error: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("redirections", [">&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_do_no_harm(tmp_path: pathlib.Path, redirections: str) -> None:
    """Their numbers would be those of our own pipes."""
    events = tmp_path / "events.jsonl"
    line = f"{sys.executable} -m perdure run {PROGRAM} --events {events} -- --supersteps 5 {redirections}"
    assert subprocess.run(line, shell=True, timeout=60, check=False).returncode == 0
    assert json.loads(events.read_text().splitlines()[-1])["status"] == "ok"


def test_an_interrupt_while_the_command_is_imported_is_one_line() -> None:
    code = """
import sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "perdure.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from perdure.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "perdure: interrupted; nothing had been started\n")


def test_plan_prints_what_each_node_will_hold() -> None:
    done = command("plan", "examples/heat/heat.py", "--ranks", "8", "--parity", "2", "--", "--n", "256")
    assert done.returncode == 0, done.stderr
    assert "0 to 7" in done.stdout
    assert "spare" in done.stdout
    assert "any nodes that may be lost together: 2" in done.stdout
