"""The demo: what a stranger sees, and that it never says `yes` when a bit is different."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.job_event_examples import committed

import perdure.cli.demo as package
from perdure.cli.demo import DemoOptions, example, summary
from perdure.cli.demo.picture import HalfBlocks
from perdure.cli.demo.screen import Screen, picture_size
from perdure.cli.demo.stage import TITLES, DemoStage
from perdure.cli.demo.verdict import judge
from perdure.cli.parts import bar, clock
from perdure.cli.watch import NodeViewState, Watch
from perdure.core.job_events import (
    AgentStartedEvent,
    CommittedEvent,
    FaultEvent,
    FinishedEvent,
    GenerationStartedEvent,
    JobEvent,
    NodeLostEvent,
    ProgressEvent,
    RebuiltEvent,
    ResumedEvent,
    TimedEvent,
    WorkerStartedEvent,
)
from perdure.core.records import replace
from perdure.errors import ConfigError
from perdure.launch import Report
from perdure.wire.event_json import to_json

SHORT = ["--coarsen", "2", "--hours", "6", "--every", "0.3"]


def command(*words: str, cwd: pathlib.Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "perdure", "demo", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd, **options)


def test_without_a_terminal_it_writes_plain_lines_and_ends_with_the_verdict(tmp_path: pathlib.Path) -> None:
    done = command(*SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "bit-identical: yes"
    assert "\x1b" not in done.stdout
    assert re.search(r"node \d is lost", done.stdout)
    assert re.search(r"rank \d is rebuilt", done.stdout)
    assert re.search(r"superstep \d+ of \d+, committed \d+, generation \d+", done.stdout)
    assert any(line.startswith("compared: arrival, crest, eta, tide, u, v of every rank") for line in lines)
    content = (tmp_path / "tsunami.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20]) == 1200
    assert "highest waves: tsunami.png" in lines


def test_without_matplotlib_all_works_but_the_map_and_a_line_says_what_to_do(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name == "matplotlib" else find(name, package))
    monkeypatch.chdir(tmp_path)
    wish = DemoOptions(kill_every_s=0.3, seed=7, coarsen=3, hours=6.0)
    assert package.demo(wish, Console(file=io.StringIO()))
    assert "no map is drawn: it needs matplotlib, which is not installed: pip install 'perdure[plots]'" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"--map wave.png needs matplotlib"):
        package.demo(dataclasses.replace(wish, picture=pathlib.Path("wave.png")))


def test_a_run_in_which_nothing_was_lost_shows_nothing_and_says_so(tmp_path: pathlib.Path) -> None:
    done = command("--coarsen", "6", "--hours", "1", "--every", "1000", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("bit-identical: no: no node was killed")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--coarsen", "5"], "--coarsen is one of 1, 2, 3, 4, 6"),
        (["--hours", "0"], "--hours is above 0"),
        (["--every", "0"], "every must be a time"),
        (["--map", "nowhere/map.png"], "--map nowhere/map.png: the file cannot be written"),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(tmp_path: pathlib.Path, words: list[str], text: str) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("perdure: error: ")
    assert len(done.stderr.splitlines()) == 1
    assert text in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_on_a_terminal_gives_it_back_and_leaves_no_process(tmp_path: pathlib.Path) -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure", "demo", "--coarsen", "2", "--hours", "200"],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    output = _read_until(ours, b"committed")
    agents = _children(process.pid)
    assert len(agents) == 6, "an orchestrator and five agents"
    process.send_signal(signal.SIGINT)
    output += _read_until(ours, b"interrupted")
    assert process.wait(30) == 130
    assert output.index(b"\x1b[?1049h") < output.index(b"\x1b[?1049l"), "the alternate screen was left"
    assert output.rindex(b"\x1b[?25h") > output.rindex(b"\x1b[?25l"), "the cursor is there"
    assert not any(os.path.exists(f"/proc/{pid}") for pid in agents)
    os.close(ours)


def _read_until(terminal: int, awaited: bytes) -> bytes:
    deadline, output = time.monotonic() + 30, b""
    while awaited not in output:
        assert time.monotonic() < deadline, output[-2000:]
        output += os.read(terminal, 65536)
    return output


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


COUNT = 20


def story(killed: bool = True) -> list[TimedEvent]:
    """The events of a short job with two ranks and a spare, of which node 1 is killed, as the supervising process publishes them."""
    digests = {"eta": ("aa", "bb"), "u": ("cc", "dd")}
    commit: dict[str, Any] = {"protect_s": 0.01, "live_bytes": 8, "snapshot_bytes": 8, "parity_bytes": 8, "digests": digests}
    before: list[JobEvent] = [
        *(AgentStartedEvent(node=node, pid=10 + node) for node in range(3)),
        GenerationStartedEvent(generation=1, placement={0: 0, 1: 1}, degraded=False, why="", risk=""),
        *(WorkerStartedEvent(rank=rank, node=rank, pid=20 + rank, incarnation=1, generation=1) for rank in range(2)),
        ResumedEvent(superstep=0, generation=1),
        committed(0, **commit),
        ProgressEvent(superstep=5),
    ]
    loss: list[JobEvent] = [
        FaultEvent(fault="kill:node=1"),
        NodeLostEvent(node=1, reason="killed by SIGKILL"),
        GenerationStartedEvent(generation=2, placement={0: 0, 1: 2}, degraded=False, why="", risk=""),
        WorkerStartedEvent(rank=1, node=2, pid=31, incarnation=2, generation=2),
        RebuiltEvent(rank=1, bytes=1000, seconds=0.025),
        ResumedEvent(superstep=5, generation=2),
    ]
    after: list[JobEvent] = [committed(10, **commit), committed(COUNT, end=True, **commit), FinishedEvent(status="ok")]
    events = [*before, *(loss if killed else []), *after]
    return [TimedEvent(t=float(second), event=event) for second, event in enumerate(events)]


def told(events: list[TimedEvent], before: DemoStage | None = None) -> tuple[DemoStage, Report]:
    """A stage that has taken the events, and what the report would be."""
    stage = DemoStage(TITLES[1] if before else TITLES[0], COUNT, before=before, clock=lambda: events[-1].t)
    for timed in events:
        stage.take(timed)
    return stage, Report(result={"highest_m": 1.5}, supersteps=COUNT, losses=stage.watch.losses, digests={"eta": "x", "u": "y"})


def test_equal_runs_are_identical() -> None:
    first, disturbed = told(story())
    second, undisturbed = told(story(killed=False), before=first)
    verdict = judge(first, second, disturbed, undisturbed)
    assert verdict.identical
    assert verdict.what == "eta, u of every rank at 3 commits; the result"
    assert summary(verdict, disturbed, undisturbed)[-1] == "bit-identical: yes"
    assert second.status == "3 commits equal"


def _changed(events: list[TimedEvent], change: Callable[[CommittedEvent], CommittedEvent]) -> None:
    """Each commit among the events is exchanged for what `change` makes of it."""
    events[:] = [replace(timed, event=change(timed.event)) if isinstance(timed.event, CommittedEvent) else timed for timed in events]


def _another_bit(events: list[TimedEvent], report: Report) -> None:
    def change(commit: CommittedEvent) -> CommittedEvent:
        return replace(commit, digests={**commit.digests, "u": ("cc", "00")}) if commit.superstep == 10 else commit

    _changed(events, change)


def _an_item_less(events: list[TimedEvent], report: Report) -> None:
    _changed(events, lambda commit: replace(commit, digests={"eta": commit.digests["eta"]}))


def _another_end(events: list[TimedEvent], report: Report) -> None:
    report.supersteps = COUNT - 1


def _another_result(events: list[TimedEvent], report: Report) -> None:
    report.result = {"highest_m": np.nextafter(1.5, 2.0)}


def _another_digest_at_the_end(events: list[TimedEvent], report: Report) -> None:
    report.digests = {"eta": "x", "u": "z"}


@pytest.mark.parametrize(
    ("change", "why_not"),
    [
        (_another_bit, "'u' differs on rank 1 at superstep 10"),
        (_an_item_less, "'u' differs on rank 0 at superstep 0"),
        (_another_end, "ended at supersteps 20 and 19"),
        (_another_result, "the results of main differ"),
        (_another_digest_at_the_end, "the items differ at the end"),
    ],
)
def test_whatever_differs_is_named_and_the_answer_is_no(change: Any, why_not: str) -> None:
    first, disturbed = told(story())
    events = story(killed=False)
    _, undisturbed = told(events)
    change(events, undisturbed)
    second, _ = told(events, before=first)
    verdict = judge(first, second, disturbed, undisturbed)
    assert not verdict.identical
    assert why_not in verdict.why_not
    assert summary(verdict, disturbed, undisturbed)[-1].startswith("bit-identical: no: ")


def test_the_demo_answers_false_when_the_runs_differ(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command exits with 1 on it: `--every 1000` above goes the same way."""
    runs = iter([story(), story(killed=False)])

    def run(*_: Any, on_event: Any, **__: Any) -> Report:
        events = next(runs)
        if not any(isinstance(timed.event, FaultEvent) for timed in events):
            _another_bit(events, Report())
        for timed in events:
            on_event(to_json(timed))
        return Report(supersteps=COUNT, losses=1, digests={"eta": "x"})

    monkeypatch.setattr(package, "run", run)
    monkeypatch.setattr(example, "supersteps", lambda coarsen, hours: COUNT)
    wish = DemoOptions(kill_every_s=5, seed=7, coarsen=6, hours=1, picture=tmp_path / "map.png")
    assert not package.demo(wish, Console(width=80, height=24, force_terminal=False))
    assert "bit-identical: no: 'u' differs on rank 1 at superstep 10" in capsys.readouterr().out


def test_a_watch_knows_who_is_where_and_what_is_left() -> None:
    events, now = story(), 0.0
    watch = Watch(lambda: now, COUNT)
    seen: dict[type[JobEvent], list[NodeViewState]] = {}
    for timed in events:
        now = timed.t
        watch.take(timed)
        seen[type(timed.event)] = [watch.nodes[node].state for node in sorted(watch.nodes)]
        if isinstance(timed.event, ProgressEvent):
            assert watch.time_left_s == pytest.approx((now - events[7].t) / 5 * 15)
    running, spare, lost, rebuilding = NodeViewState.RUNNING, NodeViewState.SPARE, NodeViewState.LOST, NodeViewState.REBUILDING
    assert seen[ProgressEvent] == [running, running, spare]
    assert seen[NodeLostEvent] == [running, lost, spare]
    assert seen[RebuiltEvent] == [running, lost, rebuilding]
    assert seen[FinishedEvent] == [running, lost, running]
    assert (watch.nodes[2].ranks, watch.workers[1].incarnation, watch.generation, watch.losses) == ([1], 2, 2, 1)
    assert sum(watch.seconds.values()) == pytest.approx(events[-1].t - events[6].t)
    assert (watch.share, watch.time_left_s) == (1.0, 0.0)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_the_view_fills_the_terminal_and_no_line_is_too_long(width: int, height: int) -> None:
    console = Console(width=width, height=height, force_terminal=True, color_system="truecolor", record=True)
    events = story()
    now = 0.0
    with Screen(console, f"perdure-test-{time.monotonic_ns()}", live=False) as screen:
        stage = DemoStage(TITLES[0], COUNT, clock=lambda: now)
        screen.begin(stage)
        for timed in events[:-3]:
            now = timed.t
            screen.take(timed)
        frames = example.module("tsunami_view")
        cells = np.zeros((60, 360), np.int8)
        screen._canvas.put(frames.Frame(rank=1, superstep=7, supersteps=COUNT, seconds=7500.0, first_row=0, rows_of_whole=60, cells=cells))
        with console.capture() as capture:
            console.print(screen.render(), end="")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-z]", "", capture.get()).splitlines()
    text = "\n".join(lines)
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    for expected in ("2 h 05 min", "generation 2", "superstep 5", "committed 0", "rank 0", "pid 20", "rebuilt in 25 ms", "lost", "detect",
                     "1 lost so far", "to come", " left"):  # fmt: skip
        assert expected in text, expected
    columns, rows = picture_size(width, height, frames.ASPECT)
    assert text.count("▀") == columns * rows
    assert columns * frames.ASPECT == pytest.approx(2 * rows, abs=1.5), "a degree is as high as wide"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_nodes_panel_shows_a_degraded_job_and_the_node_that_must_not_be_lost(width: int, height: int) -> None:
    console = Console(width=width, height=height, force_terminal=True, color_system=None)
    why, risk = "ranks 0 and 1 share node 0", "losing node 0 would end the job: ranks 0 and 1 share it"
    lost: list[JobEvent] = [
        NodeLostEvent(node=2, reason="killed by SIGKILL"),
        GenerationStartedEvent(generation=3, placement={0: 0, 1: 0}, degraded=True, why=why, risk=risk),
    ]
    events = [*story()[:-3], *(TimedEvent(t=9.0, event=event) for event in lost)]
    shown: list[str] = []
    with Screen(console, f"perdure-test-{time.monotonic_ns()}", live=False) as screen:
        screen.begin(DemoStage(TITLES[0], COUNT, clock=lambda: 9.0))
        for end in (len(events) - 2, len(events)):
            for timed in events[0 if end < len(events) else end - 2 : end]:
                screen.take(timed)
            with console.capture() as capture:
                console.print(screen.render(), end="")
            shown.append(capture.get())
    for text, expected in zip(shown, (False, True), strict=True):
        lines = text.splitlines()
        assert len(lines) == height
        assert max(map(len, lines)) <= width
        for words in ("nodes · degraded", "one more loss", "here ends the job"):
            assert (words in text) is expected, words
    assert re.search(r"0 ◐ ranks 0,1 one more loss", shown[1])


def test_two_pixels_are_one_character() -> None:
    pixels = np.zeros((4, 3, 3), np.uint8)
    pixels[0, :] = (248, 0, 0)
    pixels[1, 2] = (0, 248, 0)
    console = Console(width=10, force_terminal=True, color_system="truecolor")
    with console.capture() as capture:
        console.print(HalfBlocks(pixels), end="")
    upper, lower = capture.get().splitlines()
    assert upper == "\x1b[38;2;248;0;0;48;2;0;0;0m▀▀\x1b[0m\x1b[38;2;248;0;0;48;2;0;248;0m▀\x1b[0m"
    assert lower == "\x1b[38;2;0;0;0;48;2;0;0;0m▀▀▀\x1b[0m"


def test_a_bar_says_what_is_known_and_fits() -> None:
    console = Console(width=60, color_system=None)
    for share, right in ((0.5, "0:12 left"), (None, "0:03"), (1.0, "")):
        with console.capture() as capture:
            console.print(bar("superstep 3", share, right, width=60))
        line = capture.get().rstrip("\n")
        assert len(line) <= 60
        assert right in line
        assert ("50%" in line) == (share == 0.5)
    assert [clock(seconds) for seconds in (None, 5.4, 65.0)] == ["-:--", "0:05", "1:05"]


def test_the_example_is_found_in_a_wheel_before_a_checkout(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "_examples" / "tsunami"
    monkeypatch.setattr(example, "PLACES", (wheel, *example.PLACES[1:]))
    assert example.directory() == example.PLACES[1]
    wheel.mkdir(parents=True)
    for name in ("tsunami.py", "etopo_10min.npz"):
        (wheel / name).touch()
    assert example.directory() == wheel
    monkeypatch.setattr(example, "PLACES", (tmp_path / "nowhere", tmp_path / "neither"))
    with pytest.raises(ConfigError, match="install perdure again"):
        example.directory()
