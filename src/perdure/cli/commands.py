"""The command `perdure`, and its commands."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from perdure.cli.options import PASS_ON, Memory, Ranks
from perdure.cli.plan import plan_command
from perdure.cli.rehearse import rehearse_command
from perdure.cli.run import run_command
from perdure.cli.simulate import simulate
from perdure.core.settings import OVERLAP

app = typer.Typer(
    name="perdure",
    help="Runs bulk-synchronous programs that outlive the nodes they run on.",
    epilog="Begin with `perdure run --help`. A lost node is rebuilt from parity in the others' memory.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
Transport = Annotated[str, typer.Option(help="Between ranks: shared (memory), unix or tcp.", rich_help_panel="Shape")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from perdure import __version__

        typer.echo(f"perdure {__version__}")
        raise typer.Exit


app.command("run", context_settings=PASS_ON)(run_command)
app.command("plan", context_settings=PASS_ON)(plan_command)
app.command("rehearse", context_settings=PASS_ON)(rehearse_command)


@app.command("demo")
def demo_command(
    every: Annotated[float, typer.Option(metavar="SECONDS", help="How often a node is killed.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Chooses which node is killed.")] = 7,
    picture: Annotated[pathlib.Path, typer.Option("--map", help="Where the map of the highest waves goes, as PNG.")] = pathlib.Path(
        "tsunami.png"
    ),
    coarsen: Annotated[int, typer.Option(help="The side of a grid cell in units of 10 arc-minutes: 1, 2, 3, 4 or 6.")] = 1,
    hours: Annotated[float, typer.Option(help="How long the wave travels.")] = 20.0,
    memory: Memory = OVERLAP,
) -> None:
    """A tsunami crosses the real Pacific while its nodes are killed; then again undisturbed, and every bit is compared.

    With the defaults it takes about a minute on two cores. Exit status: 0 every bit is the same; 1 it is not.
    """
    from perdure.cli.demo import DemoOptions, demo

    if not demo(DemoOptions(kill_every_s=every, seed=seed, coarsen=coarsen, hours=hours, picture=picture, memory=memory)):
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
