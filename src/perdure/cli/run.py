"""The command `perdure run`: start a job, display it, and write its events."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from perdure.cli.best_effort import TakeEvent, dispensable
from perdure.cli.display import display
from perdure.cli.grouping import ChosenGroupSize, FailureDomains, NodeLabel, NodeMemory, Racks, bytes_of, group_size_of, wish
from perdure.cli.hosts import HostList, HostsFile, Python, Shell, hosts_engine
from perdure.cli.options import (
    Engine,
    Memory,
    Parity,
    Ranks,
    RanksPerNode,
    Seed,
    Setting,
    Spares,
    explain_arguments,
)
from perdure.cli.settings import parse_settings
from perdure.cli.summary import in_words
from perdure.core.faults import GRAMMAR
from perdure.core.job_events import TimedEvent
from perdure.core.layout import nodes_with_ranks
from perdure.core.settings import Settings
from perdure.errors import ConfigError
from perdure.launch import run
from perdure.launch.event_queue import EventQueue
from perdure.launch.plain import plain
from perdure.launch.program import MODULE
from perdure.logs import configure
from perdure.wire.event_json import on_json, to_json

DEFAULTS = Settings()

CommitEvery = Annotated[
    str | None,
    typer.Option(metavar="K|auto", help="Supersteps between two commits. Default: the program's commit_every.", rich_help_panel="Shape"),
]
HangTimeout = Annotated[
    float,
    typer.Option(
        help="A rank without a job call for this many seconds is hung, but not before 20 times its longest superstep.",
        rich_help_panel="Shape",
    ),
]
UnwindTimeout = Annotated[
    float,
    typer.Option(
        help="After a loss, a surviving rank that makes no job call for this many seconds is restarted.",
        rich_help_panel="Shape",
    ),
]
BestTransport = Annotated[
    str | None,
    typer.Option(
        help="The transport between ranks: shared (memory), unix or tcp. Default: the fastest one of the engine.", rich_help_panel="Shape"
    ),
]
OnDivergence = Annotated[
    str,
    typer.Option(
        metavar="report|repair|stop",
        help="If a replicated item differs between ranks: report it, go back to the previous commit, or stop the job.",
        rich_help_panel="Faults",
    ),
]
OnCrossing = Annotated[
    str,
    typer.Option(
        metavar="stop|warn",
        help="If a message or request is in transit at a commit (a recovery would lose it): stop the job, or warn and continue.",
        rich_help_panel="Faults",
    ),
]
CheckRestore = Annotated[
    str,
    typer.Option(
        metavar="off|first|always",
        help="Check that declared objects can be restored: at the first commit and for new classes of parts, or at every commit.",
        rich_help_panel="Faults",
    ),
]
TrackWrites = Annotated[
    bool,
    typer.Option(
        "--track-writes",
        help="Ask the kernel which pages were written instead of comparing all pages (Linux 6.7). Do not use it if a GPU, a network "
        "card (RDMA) or io_uring writes into declared arrays: the commit would miss these writes.",
        rich_help_panel="Shape",
    ),
]
Faults = Annotated[list[str] | None, typer.Option("--fault", metavar="SPEC", help=GRAMMAR, rich_help_panel="Faults")]
ReturnAfter = Annotated[
    float | None, typer.Option(help="Start a lost node again as an empty spare after this many seconds.", rich_help_panel="Faults")
]
Program = Annotated[
    str | None,
    typer.Argument(metavar="PROGRAM.py[:function]", help="A Python file with `def main(job, ...)`, a file and a function, or a script."),
]
Module = Annotated[
    str | None, typer.Option("-m", metavar="PACKAGE.MODULE", help="Run a module instead of a file, found as `python -m` finds it.")
]
Lend = Annotated[
    bool,
    typer.Option(
        "--mpi4py/--no-mpi4py",
        help="Provide perdure.MPI as mpi4py.MPI to the program. With --no-mpi4py, a program on several ranks must not import mpi4py.",
        rich_help_panel="Shape",
    ),
]
LogLevel = Annotated[
    str,
    typer.Option(metavar="debug|info|warning|error", help="The lowest level that is logged to standard error.", rich_help_panel="Output"),
]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log one JSON object per line.", rich_help_panel="Output")]
Events = Annotated[
    pathlib.Path | None,
    typer.Option(
        help="Write events to this file or FIFO, one JSON object per line. A slow reader does not delay the job.", rich_help_panel="Output"
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the report as one line of JSON, the last line of standard output.", rich_help_panel="Output")
]


def run_command(
    context: typer.Context,
    program: Program = None,
    module: Module = None,
    engine: Engine = "local",
    hosts: HostList = None,
    hosts_file: HostsFile = None,
    shell: Shell = None,
    python: Python = None,
    ranks: Ranks = 4,
    ranks_per_node: RanksPerNode = 1,
    spares: Spares = 1,
    parity: Parity = None,
    group_size: ChosenGroupSize = None,
    node_memory: NodeMemory = None,
    failure_domains: FailureDomains = None,
    node_label: NodeLabel = None,
    racks: Racks = None,
    commit_every: CommitEvery = None,
    hang_timeout: HangTimeout = DEFAULTS.hang_timeout_s,
    unwind_timeout: UnwindTimeout = DEFAULTS.unwind_timeout_s,
    setting: Setting = None,
    seed: Seed = 0,
    transport: BestTransport = None,
    fault: Faults = None,
    return_after: ReturnAfter = None,
    on_divergence: OnDivergence = DEFAULTS.on_divergence,
    on_crossing: OnCrossing = DEFAULTS.on_crossing,
    memory: Memory = DEFAULTS.memory,
    track_writes: TrackWrites = False,
    check_restore: CheckRestore = "first",
    mpi4py: Lend = True,
    events: Events = None,
    log_level: LogLevel = DEFAULTS.log_level,
    log_json: LogJson = False,
    as_json: AsJson = False,
) -> None:
    """Run a program on nodes that are process groups of this machine, or on other machines.

    Arguments after `--` go to the program: to `main`, converted by its annotations, or to `sys.argv` of a script.

    `perdure run examples/heat/heat.py --ranks 4 --fault kill:node=2,superstep=35 -- --n 512 --supersteps 200`

    Exit status: 0 `main` returned on every rank; 1 the program failed; 2 wrong usage; 3 more was lost than parity can rebuild.
    A script that calls `sys.exit(n)` or `Abort(n)` sets the exit status to n.
    """
    configure(log_level, as_json=log_json)
    program, words = chosen_program(program, module, context.args)
    explain_arguments(program, words)
    on_hosts = hosts_engine(engine, hosts, hosts_file, shell, python)
    nodes = nodes_with_ranks(ranks, max(ranks_per_node, 1)) + spares
    domains = wish(failure_domains, node_label, racks, nodes)
    with _event_file(events) as written:
        with display(to_terminal=sys.stderr.isatty()) as shown:

            def take(event: TimedEvent) -> None:
                shown.take(event)
                written(event)

            report = run(
                program, engine=on_hosts or engine, ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity,
                group_size=group_size_of(group_size), node_memory_bytes=bytes_of(node_memory),
                failure_domains=domains.failure_domains, node_labels=domains.node_labels,
                commit_every=parse_interval(commit_every), raw_arguments=words, faults=fault or [], on_event=on_json(take),
                settings=replace(
                    parse_settings(setting or [], hang_timeout, unwind_timeout),
                    track_writes=track_writes, log_level=log_level, log_json=log_json,
                ),
                seed=seed, transport=transport,
                return_after_s=return_after, on_divergence=on_divergence, on_crossing=on_crossing, memory=memory,
                check_restore=check_restore, lend_mpi4py=mpi4py,
            )  # fmt: skip
        print(report.to_json() if as_json else in_words(report), flush=True)  # before the wait for a reader of the events


def chosen_program(program: str | None, module: str | None, words: list[str]) -> tuple[str, list[str]]:
    """Return the program to run and its arguments. With `-m`, all words are arguments, including the first one."""
    if module is not None:
        return MODULE + module, [program, *words] if program is not None else words
    if program is None:
        raise ConfigError("the program is missing: name a file such as heat.py, or a module with -m")
    return program, words


def parse_interval(text: str | None) -> int | str | None:
    """Parse the value of --commit-every: a number of supersteps or `auto`."""
    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--commit-every must be a number of supersteps, at least 1, or auto, not {text!r}")
    return int(text)


@contextlib.contextmanager
def _event_file(path: pathlib.Path | None) -> Iterator[TakeEvent]:
    if path is None:
        yield lambda event: None
        return
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"--events {path}: {error.strerror}") from error

    def write(event: TimedEvent) -> None:
        _write_whole(file, json.dumps(plain(to_json(event)), allow_nan=False).encode() + b"\n")

    with file, EventQueue(dispensable(f"--events {path}", write), name="events") as queue:
        yield queue.put


def _write_whole(file: io.FileIO, line: bytes) -> None:
    while line:
        line = line[file.write(line) :]
