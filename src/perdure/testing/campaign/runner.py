"""A campaign: one program, many runs, in each of them something is lost, and each is compared bit for bit with an undisturbed run.

A run is the command that a person would type, `perdure run ... --fault ...`, in processes of its own: so one that hangs can be looked at
and ended, what it leaves behind can be found, and a case that fails is replayed by typing that command.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from perdure.core.job_events import (
    CommittedEvent,
    FaultEvent,
    JobEvent,
    NodeLostEvent,
    OrchestratorLostEvent,
    ProgressEvent,
    ResumedEvent,
    StartedEvent,
    TimedEvent,
    WorkerLostEvent,
)
from perdure.core.layout import nodes_with_ranks
from perdure.core.orchestrator import JobShape
from perdure.core.settings import OVERLAP, TIGHT, Settings
from perdure.errors import BY_NAME, ConfigError, EngineFailed
from perdure.launch.program import Raw, split_raw
from perdure.launch.rehearsal import Digests, first_difference
from perdure.launch.shapes import shape_of
from perdure.testing.campaign import cases
from perdure.testing.campaign.baseline import Baseline, baseline_of
from perdure.testing.campaign.cases import Case
from perdure.testing.campaign.testbeds import Here, HostFault, HostFaultInjector, MakeTestbed, Testbed
from perdure.testing.leak_check import MARK, end_marked, leaks, marked
from perdure.wire.event_json import to_json

Draw = Callable[[int, Baseline], Case]
"""The case of a seed."""
LIMITS: Final = Settings(hang_timeout_s=3.0, start_timeout_s=8.0)
"""What is different from the defaults: a campaign waits for each of them many times."""
DEADLINE_S: Final = 45.0
"""After which a run hangs: longer than the longest chain of waits of one case (a process stopped while it starts, 8 s; two silences of 3 s;
an unwinding of 10 s), twice over for a loaded machine. The undisturbed run's time comes on top, as often as `SLOWER`."""
SLOWER: Final = 10.0
LOOK_S: Final = 1.0
"""How long the stacks of a hanging run take to be written."""
LAST_LINES: Final = 40
"""Of a run's standard error and of its events, told of a case that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSpec:
    """The job that the campaign is about. `raw_arguments`: the program's, as text; `group_size` None: the default; `failure_domains` and
    `node_labels` as of `perdure.run`."""

    program: str
    engine: str = "local"
    ranks: int = 4
    ranks_per_node: int = 1
    spares: int = 1
    parity: int = 1
    group_size: int | None = None
    failure_domains: Sequence[str] = ()
    node_labels: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    commit_every: int = 2
    memory: str = OVERLAP
    raw_arguments: Raw = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        """With ranks."""
        return nodes_with_ranks(self.ranks, self.ranks_per_node)

    def layout(self) -> JobShape:
        """How its ranks lie. ConfigError: it cannot be."""
        return shape_of(
            self.ranks, self.ranks_per_node, self.spares, self.parity, self.group_size, self.failure_domains, self.node_labels
        )  # fmt: skip

    def command(self, faults: Sequence[str], spares: int, options: Sequence[str] = ()) -> list[str]:
        """As it is typed, without what only a campaign adds. `options` are those of the place."""
        words = ["run", self.program, *(options or ("--engine", self.engine))]
        words += ["--ranks", str(self.ranks), "--ranks-per-node", str(self.ranks_per_node), "--spares", str(spares)]
        words += ["--parity", str(self.parity), "--commit-every", str(self.commit_every)]
        words += ["--group-size", str(self.group_size)] if self.group_size is not None else []
        words += ["--failure-domains", ",".join(self.failure_domains)] if self.failure_domains else []
        for node, labels in self.node_labels.items():
            words += [word for name, value in labels.items() for word in ("--node-label", f"{node}:{name}={value}")]
        words += ["--memory", self.memory] if self.memory != OVERLAP else []
        for name, value in asdict(LIMITS).items():
            words += ["--setting", f"{name}={value:g}"] if value != getattr(Settings(), name) else []
        for fault in faults:
            words += ["--fault", fault]
        named, given = split_raw(self.raw_arguments)
        given += [f"--{name}" if text is True else f"--{name}={text}" for name, text in named.items()]
        return [*words, "--", *given] if given else words


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of one run. `status`: of the process, None for one that was ended because it hung; `wall_s`: until its last event."""

    status: int | None
    report: dict[str, Any]
    events: list[TimedEvent]
    said: str
    left: list[str]

    @property
    def digests(self) -> Digests:
        """Of all its commits; of one that was made again after a loss, the later ones."""
        commits = (timed.event for timed in self.events if isinstance(timed.event, CommittedEvent))
        return {commit.superstep: commit.digests for commit in commits}

    @property
    def wall_s(self) -> float:
        """Its time, without that of the command."""
        return max((timed.t for timed in self.events), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Of one fault that struck, in seconds. None: there was nothing to know, or nothing to recover."""

    detect_s: float | None
    recover_s: float | None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A case and what came of it. `wrong`, `hung`, `refused` (it ended with an error) and `left` are to be empty."""

    case: Case
    command: str
    timings: list[Timing]
    wrong: str = ""
    hung: str = ""
    refused: str = ""
    left: list[str] = field(default_factory=list)
    story: str = ""
    struck: int = 0
    wall_s: float = 0.0

    @property
    def survived(self) -> bool:
        """It ended, and with every bit right."""
        return not (self.wrong or self.hung or self.refused)

    def __str__(self) -> str:
        what = "; ".join(filter(None, (self.wrong, self.hung, self.refused, f"left behind: {', '.join(self.left)}" if self.left else "")))
        return f"seed {self.case.seed}: {self.case.fault}, {self.case.phase}: {what}\n{self.story}\nagain: {self.command}"


class Campaign:
    """The undisturbed run is made at once; `outcomes` makes the others one after the other.

    Raises:
        ConfigError: the shape cannot be, or the program is too short. What ended the undisturbed run is raised as it would be by `run`.
    """

    def __init__(self, shape: CampaignSpec, make_testbed: MakeTestbed = Here, *, draw: Draw = cases.draw) -> None:
        self.shape, self._make_place, self._draw = shape, make_testbed, draw
        layout = shape.layout()
        with make_testbed() as place:
            words = shape.command((), shape.spares, place.options)
            self._expected = _run(words, place, (), deadline_s=None, environment={"PERDURE_DEBUG": "1"})
        if self._expected.status:
            raise _error_of(self._expected)
        commits = sorted(self._expected.digests)[:-1]
        if len(commits) < 2:
            raise ConfigError(
                f"a campaign needs a program that commits before its end, but this one commits at {commits}: run more supersteps"
            )
        supersteps: int = self._expected.report["supersteps"]
        self.baseline = baseline_of(
            layout, spares=shape.spares, supersteps=supersteps, commits=commits, wall_s=self._expected.wall_s, tight=shape.memory == TIGHT
        )

    def outcomes(self, seeds: Sequence[int]) -> Iterator[Outcome]:
        """One case a seed."""
        return (self.outcome(self._draw(seed, self.baseline)) for seed in seeds)

    def outcome(self, case: Case) -> Outcome:
        """One run, judged."""
        with self._make_place() as place:
            words = self.shape.command((*case.before, *case.faults), case.spares, place.options)
            run = _run(words, place, case.strikes, deadline_s=DEADLINE_S + SLOWER * self.baseline.wall_s, environment={})
        command = shlex.join(["perdure", *words]) if not case.strikes else f"the same campaign with --runs 1 --seed {case.seed}"
        outcome = Outcome(case=case, command=command, timings=[], left=run.left, wall_s=run.wall_s)
        if run.status is None:
            outcome.hung = f"it did not end within {DEADLINE_S + SLOWER * self.baseline.wall_s:.0f} s"
        elif run.status:
            outcome.refused = f"it ended with status {run.status}"
        else:
            outcome.wrong = self._difference(run)
        about = {*case.faults, *map(str, case.strikes)}
        struck = [timed for timed in run.events if isinstance(timed.event, FaultEvent) and timed.event.fault in about]
        outcome.struck = len(struck)
        outcome.timings = [timing(strike, run.events, case.strikes) for strike in struck]
        if not outcome.survived or run.left:
            events = [json.dumps(to_json(timed)) for timed in run.events if not isinstance(timed.event, ProgressEvent)]
            outcome.story = "\n".join([*run.said.splitlines()[-LAST_LINES:], *events[-LAST_LINES:]])
        return outcome

    def _difference(self, run: Run) -> str:
        difference = first_difference(self._expected.digests, run.digests, "the faults")
        if difference is not None:
            return str(difference)
        for what in ("digests", "result", "supersteps"):
            if run.report[what] != self._expected.report[what]:
                return f"its {what} are {run.report[what]}, but should be {self._expected.report[what]}"
        return ""


def timing(strike: TimedEvent, events: Sequence[TimedEvent], strikes: Sequence[HostFault] = ()) -> Timing:
    """From the strike, an event of a fault, until it was known, and from then until `main` was entered again; after the end of an
    orchestrator, until the next commit, for nobody waits for it. Of several nodes, the first that is known. `strikes`: what it may be
    besides faults of processes."""
    assert isinstance(strike.event, FaultEvent)
    fault = strike.event.fault
    of_a_host = next((one for one in strikes if str(one) == fault), None)
    explains = of_a_host.explains if of_a_host else partial(_explains, fault=fault)
    known = next((timed for timed in events if timed.t >= strike.t and explains(timed.event)), None)
    if known is None:
        return Timing(detect_s=None, recover_s=None)
    end = CommittedEvent if isinstance(known.event, OrchestratorLostEvent) else ResumedEvent
    again = next((timed.t - known.t for timed in events if timed.t >= known.t and isinstance(timed.event, end)), None)
    return Timing(detect_s=known.t - strike.t, recover_s=again)


def _explains(event: JobEvent, fault: str) -> bool:
    """Is that event the job's knowledge of this fault, which is one of processes?"""
    kind, _, rest = fault.partition(":")
    wanted = dict(part.split("=") for part in rest.split(","))
    match kind:
        case "kill" | "stop":
            return isinstance(event, NodeLostEvent) and str(event.node) in wanted["node"].split("+")
        case "crash" | "hang":
            return isinstance(event, WorkerLostEvent) and str(event.rank) == wanted["rank"]
        case "orchestrator":
            return isinstance(event, OrchestratorLostEvent)
        case _:
            return isinstance(event, NodeLostEvent | WorkerLostEvent | OrchestratorLostEvent)


def _run(
    words: list[str], place: Testbed, strikes: Sequence[HostFault], *, deadline_s: float | None, environment: Mapping[str, str]
) -> Run:
    """Runs the command, does to its hosts what is to be done, and looks at what it leaves. Whatever happens here, nothing of it stays."""
    mark = os.urandom(8).hex()
    with tempfile.TemporaryDirectory(prefix="perdure-campaign-") as folder:
        room = pathlib.Path(folder)
        injector = HostFaultInjector(place, strikes)
        try:
            process = place.popen(
                [sys.executable, "-m", "perdure", *_with_output(words, injector.path)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                pass_fds=(injector.write_fd,), env={**os.environ, "TMPDIR": str(room), MARK: mark, **environment},
            )  # fmt: skip
        finally:
            injector.start()
        status: int | None = None
        try:
            out, err = process.communicate(timeout=deadline_s)
            status = process.returncode
        except subprocess.TimeoutExpired:
            out, err = _end_hanging(process, mark)
        finally:
            if process.poll() is None:
                end_marked(mark, signal.SIGKILL)
        report = json.loads(out.splitlines()[-1]) if status == 0 else {}
        place.settle()
        job = next((timed.event.job for timed in injector.events if isinstance(timed.event, StartedEvent)), "")
        left = leaks(mark, job, room)
        end_marked(mark, signal.SIGKILL)
        events = injector.finish()
    return Run(status=status, report=report, events=events, said=err, left=left)


def _with_output(words: list[str], events: str) -> list[str]:
    """Before the program's own arguments."""
    at = words.index("--") if "--" in words else len(words)
    return [*words[:at], "--events", events, "--json", *words[at:]]


def _end_hanging(process: subprocess.Popen[str], mark: str) -> tuple[str, str]:
    """All of it tells where it is (`perdure.launch.entrypoints`), and is ended."""
    for pid in marked(mark):
        if pid != process.pid:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGUSR1)
    timer = threading.Timer(LOOK_S, end_marked, (mark, signal.SIGKILL))
    timer.start()
    try:
        return process.communicate()
    finally:
        timer.join()


def _error_of(run: Run) -> Exception:
    """Of an undisturbed run, as the command told it."""
    last = run.said.strip().splitlines()[-1:] or ["it printed nothing"]
    text = last[0].removeprefix("perdure: error: ")
    kind = next((kind for kind in BY_NAME.values() if kind.exit_status == run.status), EngineFailed)
    return kind(f"the undisturbed run failed: {text}")
