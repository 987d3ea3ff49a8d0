"""The command `perdure rehearse`: prove that a program recovers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perdure.cli.campaign import run_campaign
from perdure.cli.display import display
from perdure.cli.grouping import FailureDomains, NodeLabel, Racks, wish
from perdure.cli.hosts import HostList, HostsFile, Python, Shell, hosts_engine
from perdure.cli.options import Engine, Memory, Parity, Program, Ranks, RanksPerNode, Spares, explain_arguments
from perdure.core.layout import nodes_with_ranks
from perdure.core.settings import OVERLAP
from perdure.errors import ConfigError
from perdure.launch.domains import joined
from perdure.launch.program import describe
from perdure.launch.rehearsal import rehearse
from perdure.launch.shapes import parity_of
from perdure.testing.campaign.runner import CampaignSpec

ADVICE = (
    "either the item is computed from state that is not declared (a global, a file, a clock, a random generator): declare that state; "
    "or the item is an object that was not restored exactly: declare its contents as arrays, or as plain dicts and lists"
)
GroupSize = Annotated[int | None, typer.Option(help="Ranks in a parity group. Default: up to 8.", rich_help_panel="Shape")]


def rehearse_command(
    context: typer.Context,
    program: Program,
    rehearsals: Annotated[int, typer.Option(help="The number of runs with a loss, after the undisturbed run.")] = 3,
    seed: Annotated[int, typer.Option(help="The seed that chooses the losses and their times.")] = 0,
    campaign: Annotated[
        bool,
        typer.Option(
            "--campaign", help="Do many runs with losses at critical instants of commits and recoveries.", rich_help_panel="Campaign"
        ),
    ] = False,
    runs: Annotated[int, typer.Option(help="The number of runs, each with 1 to --parity losses.", rich_help_panel="Campaign")] = 200,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the table as one line of JSON, the last line of standard output.", rich_help_panel="Campaign"),
    ] = False,
    engine: Engine = "local",
    ranks: Ranks = 4,
    ranks_per_node: RanksPerNode = 1,
    spares: Spares = 1,
    parity: Parity = None,
    group_size: GroupSize = None,
    failure_domains: FailureDomains = None,
    node_label: NodeLabel = None,
    racks: Racks = None,
    commit_every: Annotated[int, typer.Option(help="Supersteps between two commits.", rich_help_panel="Shape")] = 2,
    memory: Memory = OVERLAP,
    hosts: HostList = None,
    hosts_file: HostsFile = None,
    shell: Shell = None,
    python: Python = None,
    namespaced: Annotated[
        bool, typer.Option("--namespaced", help="Run each node on a virtual host made of Linux namespaces.", rich_help_panel="Hosts")
    ] = False,
) -> None:
    """Prove that a program recovers: run it without and with losses, and compare every declared item at every commit.

    `perdure rehearse examples/heat/heat.py -- --n 128 --supersteps 40`

    With `--campaign`, losses strike while state is copied and encoded, while a commit is decided, while a generation is revoked or
    rebuilt, while a new orchestrator takes over, and during another recovery. Nodes, workers and the orchestrator are killed, stopped or
    hung. The table shows for each fault and phase how many runs survived, and the times to detect the loss and to recover. Run number i
    has the seed `--seed` + i. For each failed run the seed and a command that repeats it are printed. The program should run for some
    hundreds of supersteps, so that it is still running when the last faults strike:

    `perdure rehearse examples/heat/heat.py --campaign --parity 2 --spares 2 --commit-every 5 -- --n 64 --supersteps 400`

    With `--hosts` the runs take place on these machines. With `--namespaced` each node runs on a virtual host of its own, and every
    second run has a fault of a host: it loses power, its processes are stopped or killed, or its link is down, lossy, slow or cut one way.

    With `--racks` or `--failure-domains` a campaign also kills whole failure domains if no parity group has more than `--parity`
    members in one; otherwise the campaign prints the reason.

    Exit status: 0 the program recovers; 1 it does not, and the first item, superstep and rank that differ are printed; 2 wrong usage,
    such as a message in transit at a commit.
    """
    explain_arguments(program, context.args)
    describe(program, None, None)  # report a wrong path before anything else
    nodes = nodes_with_ranks(ranks, max(ranks_per_node, 1)) + spares
    domains = wish(failure_domains, node_label, racks, nodes)
    on_hosts = hosts_engine(engine, hosts, hosts_file, shell, python)
    named = dict(enumerate(on_hosts.capabilities.labels[:nodes])) if on_hosts and domains.failure_domains else {}
    shape = CampaignSpec(
        program=program, engine=engine, ranks=ranks, ranks_per_node=ranks_per_node, spares=spares, parity=parity_of(parity, ranks),
        group_size=group_size,
        failure_domains=domains.failure_domains, node_labels=joined(named, domains.node_labels),
        commit_every=commit_every, memory=memory, raw_arguments=context.args,
    )  # fmt: skip
    if campaign:
        if namespaced and (on_hosts or engine != "local"):
            raise ConfigError("--namespaced, --hosts and --engine exclude each other: use one of them")
        options = on_hosts.options if on_hosts else ()
        recovers = run_campaign(shape, runs=runs, seed=seed, as_json=as_json, options=options, namespaced=namespaced)
    else:
        if as_json or engine != "local" or namespaced or on_hosts:
            raise ConfigError("--json, --engine, --hosts and --namespaced need --campaign")
        recovers = _recovers(shape, rehearsals, seed)
    if not recovers:
        raise typer.Exit(1)


def _recovers(shape: CampaignSpec, rehearsals: int, seed: int) -> bool:
    """Rehearse within this process and print the verdict."""
    if rehearsals < 1:
        raise ConfigError(f"--rehearsals must be 1 or more, not {rehearsals}")

    def tell(text: str) -> None:
        print(f"rehearsing: {text}", file=sys.stderr, flush=True)

    result = rehearse(
        shape.program, rehearsals=rehearsals, seed=seed, commit_every=shape.commit_every, tell=tell,
        watch=lambda: display(to_terminal=sys.stderr.isatty()),
        ranks=shape.ranks, ranks_per_node=shape.ranks_per_node, spares=shape.spares, parity=shape.parity, group_size=shape.group_size,
        failure_domains=shape.failure_domains, node_labels=shape.node_labels, memory=shape.memory, raw_arguments=shape.raw_arguments,
    )  # fmt: skip
    if result.recovers:
        print(f"the program recovers: {len(result.faults)} losses, {result.commits} commits compared, all items equal")
    elif result.difference:
        print(f"the program does not recover: {result.difference}")
        print(ADVICE)
    else:
        print(f"the program does not recover: {result.error}")
    return result.recovers
