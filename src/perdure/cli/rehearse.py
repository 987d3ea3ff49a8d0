"""`perdure rehearse`: does this program recover?"""

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
    "either something that this item is computed from is not declared: a global, a file, a clock, a random source of its own; "
    "or the item is an object that came back other than it was committed: declare what it holds as arrays, or as plain dicts and lists"
)
GroupSize = Annotated[int | None, typer.Option(help="Ranks that share parity. Default: up to eight.", rich_help_panel="Shape")]


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
    parity: Parity = None,
    group_size: GroupSize = None,
    failure_domains: FailureDomains = None,
    node_label: NodeLabel = None,
    racks: Racks = None,
    commit_every: Annotated[int, typer.Option(help="Supersteps between commits.", rich_help_panel="Shape")] = 2,
    memory: Memory = OVERLAP,
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

    With `--racks` or `--failure-domains` nodes are placed as `perdure run` places them, and a campaign loses whole racks too, if no parity
    group has more than `--parity` members in one; else a line says why not.

    Exit status: 0 it recovers; 1 it does not, and the first item, superstep and rank that differ are named; 2 a message crosses a commit.
    """
    explain_arguments(program, context.args)
    describe(program, None, None)  # a wrong path is told before anything else
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
            raise ConfigError("--namespaced, --hosts and --engine exclude one another")
        options = on_hosts.options if on_hosts else ()
        recovers = run_campaign(shape, runs=runs, seed=seed, as_json=as_json, options=options, namespaced=namespaced)
    else:
        if as_json or engine != "local" or namespaced or on_hosts:
            raise ConfigError("--json, --engine, --hosts and --namespaced go with --campaign")
        recovers = _recovers(shape, rehearsals, seed)
    if not recovers:
        raise typer.Exit(1)


def _recovers(shape: CampaignSpec, rehearsals: int, seed: int) -> bool:
    """Rehearses within this process, and prints the verdict."""
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
        print(f"the program recovers: {len(result.faults)} losses, {result.commits} commits compared, every item the same")
    elif result.difference:
        print(f"the program does not recover: {result.difference}")
        print(ADVICE)
    else:
        print(f"the program does not recover: {result.error}")
    return result.recovers
