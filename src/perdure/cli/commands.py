"""The commands and their options."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer

from perdure.cli.display import display
from perdure.cli.grouping import ChosenGroupSize, FailureDomains, NodeLabel, NodeMemory, Racks, bytes_of, group_size_of, wish
from perdure.cli.hosts import host_names, hosts_engine
from perdure.cli.settings import parse_settings
from perdure.cli.simulate import simulate
from perdure.cli.summary import in_words
from perdure.core.faults import GRAMMAR
from perdure.core.layout import nodes_with_ranks
from perdure.core.settings import Settings
from perdure.engines.hosts import labels_of
from perdure.errors import ConfigError, UsageError
from perdure.launch import run
from perdure.launch.campaign import Shape
from perdure.launch.domains import joined
from perdure.launch.rehearsal import rehearse

app = typer.Typer(
    name="perdure",
    help="Runs bulk-synchronous programs that outlive the nodes they run on.",
    epilog="Begin with `perdure run --help`. A lost node is rebuilt from parity in the others' memory.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
PASS_ON = {"allow_extra_args": True}
DEFAULTS = Settings()
TakeEvent = Callable[[dict[str, Any]], None]

Program = Annotated[
    str, typer.Argument(metavar="PROGRAM.py[:function]", help="A file with `def main(job, ...)`, or with another function.")
]
Engine = Annotated[
    str, typer.Option(help="local: processes; threads: ranks in one process, for debuggers, unprotected.", rich_help_panel="Shape")
]
Ranks = Annotated[int, typer.Option(help="Processes that run the program.", rich_help_panel="Shape")]
RanksPerNode = Annotated[int, typer.Option(help="How many of them share a node, and so a fate.", rich_help_panel="Shape")]
Spares = Annotated[int, typer.Option(help="Nodes without ranks, ready to replace a lost one.", rich_help_panel="Shape")]
Parity = Annotated[int, typer.Option(help="How many nodes may be lost at the same time: 0 to 3.", rich_help_panel="Shape")]
GroupSize = Annotated[int | None, typer.Option(help="Ranks that share parity. Default: up to eight.", rich_help_panel="Shape")]
CommitEvery = Annotated[
    str | None, typer.Option(metavar="K|auto", help="Supersteps between commits. Default: what the program says.", rich_help_panel="Shape")
]
HangTimeout = Annotated[float, typer.Option(help="Seconds without a job call after which a rank counts as hung.", rich_help_panel="Shape")]
Setting = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=SECONDS", help="A time or limit of the protocol: silence_s, start_timeout_s, ...", rich_help_panel="Shape"),
]
Seed = Annotated[int, typer.Option(help="Of job.rng.", rich_help_panel="Shape")]
Transport = Annotated[str, typer.Option(help="Between ranks: shared (memory), unix or tcp.", rich_help_panel="Shape")]
BestTransport = Annotated[
    str | None, typer.Option(help="Between ranks: shared (memory), unix or tcp. Default: the engine's best.", rich_help_panel="Shape")
]
HostList = Annotated[
    str | None, typer.Option("--hosts", metavar="H1,H2,...", help="Nodes are these machines, reached by ssh.", rich_help_panel="Hosts")
]
HostsFile = Annotated[pathlib.Path | None, typer.Option(help="The same from a file, a host a line.", rich_help_panel="Hosts")]
Shell = Annotated[
    str | None, typer.Option(metavar="COMMAND", help="In place of ssh; {host} stands where the host goes.", rich_help_panel="Hosts")
]
Python = Annotated[str | None, typer.Option(help="The interpreter on the hosts. Default: the path of this one.", rich_help_panel="Hosts")]
OnDivergence = Annotated[
    str,
    typer.Option(
        metavar="report|repair|stop",
        help="When replicated items differ between ranks: tell, go back to the commit before, or end the job.",
        rich_help_panel="Faults",
    ),
]
TrackWrites = Annotated[
    bool,
    typer.Option(
        "--track-writes",
        help="Ask the kernel which pages were written instead of comparing all (Linux 6.7). Not where a GPU, a network card (RDMA) or "
        "io_uring writes into declared arrays by itself: such writes would be missing from the commit.",
        rich_help_panel="Shape",
    ),
]
Faults = Annotated[list[str] | None, typer.Option("--fault", metavar="SPEC", help=GRAMMAR, rich_help_panel="Faults")]
ReturnAfter = Annotated[
    float | None, typer.Option(help="A lost node comes back as an empty spare after so many seconds.", rich_help_panel="Faults")
]
Events = Annotated[pathlib.Path | None, typer.Option(help="Write the events to this file, a JSON object a line.", rich_help_panel="Output")]
AsJson = Annotated[bool, typer.Option("--json", help="The last line of standard output is the report as JSON.", rich_help_panel="Output")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from perdure import __version__

        typer.echo(f"perdure {__version__}")
        raise typer.Exit


@app.command("run", context_settings=PASS_ON)
def run_command(
    context: typer.Context,
    program: Program,
    engine: Engine = "local",
    hosts: HostList = None,
    hosts_file: HostsFile = None,
    shell: Shell = None,
    python: Python = None,
    ranks: Ranks = 4,
    ranks_per_node: RanksPerNode = 1,
    spares: Spares = 1,
    parity: Parity = 1,
    group_size: ChosenGroupSize = None,
    node_memory: NodeMemory = None,
    failure_domains: FailureDomains = None,
    node_label: NodeLabel = None,
    racks: Racks = None,
    commit_every: CommitEvery = None,
    hang_timeout: HangTimeout = DEFAULTS.hang_timeout_s,
    setting: Setting = None,
    seed: Seed = 0,
    transport: BestTransport = None,
    fault: Faults = None,
    return_after: ReturnAfter = None,
    on_divergence: OnDivergence = DEFAULTS.on_divergence,
    track_writes: TrackWrites = False,
    events: Events = None,
    as_json: AsJson = False,
) -> None:
    """Runs a program on nodes that are processes of this machine, or on other machines.

    What follows `--` are arguments of the program's `main`, converted by its annotations:

    `perdure run examples/heat/heat.py --ranks 4 --fault kill:node=2,superstep=35 -- --n 512 --supersteps 200`

    Exit status: 0 `main` returned on every rank; 1 it failed; 2 wrong usage; 3 more was lost than the parity rebuilds.
    """
    on_hosts = hosts_engine(engine, hosts, hosts_file, shell, python)
    nodes = nodes_with_ranks(ranks, max(ranks_per_node, 1)) + spares
    domains = wish(failure_domains, node_label, racks, nodes)
    with contextlib.ExitStack() as stack:
        shown = dispensable("the display", stack.enter_context(display(to_terminal=sys.stderr.isatty())))
        written = dispensable(f"--events {events}", stack.enter_context(_event_file(events)))

        def on_event(event: dict[str, Any]) -> None:
            shown(event)
            written(event)

        report = run(
            program, engine=on_hosts or engine, ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity,
            group_size=group_size_of(group_size), node_memory_bytes=bytes_of(node_memory),
            failure_domains=domains.failure_domains, node_labels=domains.node_labels,
            commit_every=parse_interval(commit_every), raw_arguments=parse_arguments(context.args), faults=fault or [], on_event=on_event,
            settings=replace(parse_settings(setting or [], hang_timeout), track_writes=track_writes), seed=seed, transport=transport,
            return_after_s=return_after, on_divergence=on_divergence,
        )  # fmt: skip
    print(report.to_json() if as_json else in_words(report))


@app.command("plan", context_settings=PASS_ON)
def plan_command(
    context: typer.Context,
    program: Program,
    ranks: Ranks = 4,
    ranks_per_node: RanksPerNode = 1,
    spares: Spares = 1,
    parity: Parity = 1,
    group_size: ChosenGroupSize = None,
    node_memory: NodeMemory = None,
    failure_domains: FailureDomains = None,
    node_label: NodeLabel = None,
    racks: Racks = None,
    hosts: HostList = None,
    hosts_file: HostsFile = None,
    setting: Setting = None,
    seed: Seed = 0,
) -> None:
    """Says what each node will hold: runs the program up to its first superstep, on threads of this process, and no further.

    `perdure plan examples/heat/heat.py --ranks 8 --parity 2 -- --n 2048`
    """
    from perdure.cli.plan import show
    from perdure.launch.planning import plan

    nodes = nodes_with_ranks(ranks, max(ranks_per_node, 1)) + spares
    named = dict(enumerate(map(labels_of, host_names(hosts, hosts_file)[:nodes])))
    domains = wish(failure_domains, node_label, racks, nodes)
    show(
        plan(
            program, ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity,
            group_size=group_size_of(group_size), node_memory_bytes=bytes_of(node_memory),
            settings=parse_settings(setting or [], DEFAULTS.hang_timeout_s), seed=seed,
            failure_domains=domains.failure_domains, node_labels=joined(named, domains.node_labels),
            raw_arguments=parse_arguments(context.args),
        )
    )  # fmt: skip


@app.command("rehearse", context_settings=PASS_ON)
def rehearse_command(
    context: typer.Context,
    program: Program,
    rehearsals: Annotated[int, typer.Option(help="Runs with a loss each, after the undisturbed one.")] = 3,
    seed: Annotated[int, typer.Option(help="Chooses what is lost, and when.")] = 0,
    campaign: Annotated[
        bool, typer.Option("--campaign", help="Strike at the dangerous instants, many times.", rich_help_panel="Campaign")
    ] = False,
    runs: Annotated[int, typer.Option(help="Runs with 1 to --parity losses each.", rich_help_panel="Campaign")] = 200,
    as_json: Annotated[
        bool, typer.Option("--json", help="The last line of standard output is the table as JSON.", rich_help_panel="Campaign")
    ] = False,
    engine: Engine = "local",
    ranks: Ranks = 4,
    ranks_per_node: RanksPerNode = 1,
    spares: Spares = 1,
    parity: Parity = 1,
    group_size: GroupSize = None,
    commit_every: Annotated[int, typer.Option(help="Supersteps between commits.", rich_help_panel="Shape")] = 2,
    hosts: HostList = None,
    hosts_file: HostsFile = None,
    shell: Shell = None,
    python: Python = None,
    namespaced: Annotated[
        bool, typer.Option("--namespaced", help="Each node is a host of its own, made of namespaces.", rich_help_panel="Hosts")
    ] = False,
) -> None:
    """Proves that a program recovers: runs it undisturbed and with seeded losses, and compares every declared item at every commit.

    `perdure rehearse examples/heat/heat.py -- --n 128 --supersteps 40`

    With `--campaign` the losses come while state is copied and encoded, at the commit decision, while a generation is revoked or rebuilt,
    while the orchestrator is handed over, and during another recovery; nodes, workers and the orchestrator are killed, stopped or hung.
    A table says, by fault and phase, how many runs survived, how soon the loss was known, and how soon the job went on. Run number i has
    seed `--seed` + i; of one that goes wrong the seed and the one command that replays it are printed. The program must run for some
    hundreds of supersteps, or the last faults find it at its end:

    `perdure rehearse examples/heat/heat.py --campaign --parity 2 --spares 2 --commit-every 5 -- --n 64 --supersteps 400`

    With `--hosts` the runs are on these machines. With `--namespaced` each node has a host of its own on this one, and in every other run
    the power of a host goes, all its processes are stopped or killed, its link is down, lossy or slow, or what it sends to another is lost.

    Exit status: 0 it recovers; 1 it does not, and the first item, superstep and rank that differ are named; 2 a message crosses a commit.
    """
    if campaign:
        from perdure.cli.campaign import run_campaign

        shape = Shape(
            program=program, engine=engine, ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity,
            group_size=group_size, commit_every=commit_every, raw_arguments=parse_arguments(context.args),
        )  # fmt: skip
        on_hosts = hosts_engine(engine, hosts, hosts_file, shell, python)
        if namespaced and (on_hosts or engine != "local"):
            raise ConfigError("--namespaced, --hosts and --engine exclude one another")
        options = on_hosts.options if on_hosts else ()
        if not run_campaign(shape, runs=runs, seed=seed, as_json=as_json, options=options, namespaced=namespaced):
            raise typer.Exit(1)
        return
    if as_json or engine != "local" or namespaced or hosts or hosts_file:
        raise ConfigError("--json, --engine, --hosts and --namespaced go with --campaign")
    if rehearsals < 1:
        raise ConfigError(f"--rehearsals must be 1 or more, not {rehearsals}")

    def tell(text: str) -> None:
        print(f"rehearsing: {text}", file=sys.stderr)

    result = rehearse(
        program, rehearsals=rehearsals, seed=seed, commit_every=commit_every, tell=tell,
        ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity, group_size=group_size,
        raw_arguments=parse_arguments(context.args),
    )  # fmt: skip
    if result.recovers:
        print(f"the program recovers: {len(result.faults)} losses, {result.commits} commits compared, every item the same")
        return
    if result.difference:
        print(f"the program does not recover: {result.difference}")
        print("something that this item depends on is not declared: a global, a file, a clock, a random source of its own")
    else:
        print(f"the program does not recover: {result.error}")
    raise typer.Exit(1)


@app.command("demo")
def demo_command(
    every: Annotated[float, typer.Option(metavar="SECONDS", help="How often a node is killed.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Chooses which node is killed.")] = 7,
    picture: Annotated[pathlib.Path, typer.Option("--map", help="Where the map of the highest waves goes, as PNG.")] = pathlib.Path(
        "tsunami.png"
    ),
    coarsen: Annotated[int, typer.Option(help="The side of a grid cell in units of 10 arc-minutes: 1, 2, 3, 4 or 6.")] = 1,
    hours: Annotated[float, typer.Option(help="How long the wave travels.")] = 20.0,
) -> None:
    """A tsunami crosses the real Pacific while its nodes are killed; then again undisturbed, and every bit is compared.

    With the defaults it takes about a minute on two cores. Exit status: 0 every bit is the same; 1 it is not.
    """
    from perdure.cli.demo import Wish, demo

    if not demo(Wish(kill_every_s=every, seed=seed, coarsen=coarsen, hours=hours, picture=picture)):
        raise typer.Exit(1)


bench = typer.Typer(help="Measures perdure beside other libraries.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.callback()
def _bench() -> None:
    """Measures perdure beside other libraries."""


@bench.command("comm")
def bench_comm_command(
    ranks: Ranks = 4,
    transport: Transport = "shared",
    python: Annotated[
        list[str] | None, typer.Option(help="An interpreter that has mpi4py or torch. Default: this one, and those of make bench-peers.")
    ] = None,
    script: Annotated[pathlib.Path, typer.Option(help="What is run.")] = pathlib.Path("benchmarks/comm.py"),
    plot: Annotated[pathlib.Path | None, typer.Option(metavar="FILE.png", help="Draws the figures by size.")] = None,
) -> None:
    """Prints latency, all-reduce and the CPU use of a waiting rank, and the ratios to mpi4py and gloo where they are installed."""
    from perdure.cli.bench import bench_comm

    print(bench_comm(script, ranks, python or [], transport, plot))


app.add_typer(simulate, name="simulate")


@app.command("doctor")
def doctor_command() -> None:
    """Says whether this machine has what perdure needs, and what it will use."""
    from perdure.cli.doctor import doctor

    if not doctor():
        raise typer.Exit(1)


def parse_interval(text: str | None) -> int | str | None:
    """`K` or `auto`."""
    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--commit-every is a number of supersteps from 1 on, or auto, not {text!r}")
    return int(text)


def parse_arguments(words: list[str]) -> dict[str, str | bool]:
    """`--name value`, `--name=value` and `--flag` to a dict; True for a flag."""
    result: dict[str, str | bool] = {}
    name = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            result[name] = value if equals else True
            name = "" if equals else name
        elif name:
            result[name], name = word, ""
        else:
            raise UsageError(f"{word!r}: arguments of the program are written --name value, after --")
    return result


@contextlib.contextmanager
def _event_file(path: pathlib.Path | None) -> Iterator[TakeEvent]:
    if path is None:
        yield lambda event: None
        return
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise ConfigError(f"--events {path}: {error.strerror}") from error
    with file:
        yield lambda event: _write_whole(file, json.dumps(event).encode() + b"\n")


def _write_whole(file: io.FileIO, line: bytes) -> None:
    while line:
        line = line[file.write(line) :]


def dispensable(what: str, take: TakeEvent) -> TakeEvent:
    """`take` until it fails for the first time: a full disk or a closed terminal must not end a job of three weeks. It is said once."""
    failed = False

    def carefully(event: dict[str, Any]) -> None:
        nonlocal failed
        if failed:
            return
        try:
            take(event)
        except OSError as error:
            failed = True
            with contextlib.suppress(OSError):  # standard error may be what failed
                print(f"perdure: warning: {what}: {error.strerror}; the job goes on without it", file=sys.stderr, flush=True)

    return carefully
