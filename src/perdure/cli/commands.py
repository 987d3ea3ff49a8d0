"""The command `perdure` and its subcommands."""

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
    help="Run bulk-synchronous programs that survive the loss of nodes.",
    epilog="Start with `perdure run --help`. The memory of a lost node is rebuilt from parity that the other nodes hold.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
Transport = Annotated[str, typer.Option(help="The transport between ranks: shared (memory), unix or tcp.", rich_help_panel="Shape")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from perdure import __version__

        typer.echo(f"perdure {__version__}")
        raise typer.Exit


app.command("run", context_settings=PASS_ON)(run_command)
app.command("plan", context_settings=PASS_ON)(plan_command)
app.command("rehearse", context_settings=PASS_ON)(rehearse_command)


@app.command("demo")
def demo_command(
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between two kills of a node.")] = 5.0,
    seed: Annotated[int, typer.Option(help="The seed that chooses the nodes to kill.")] = 7,
    picture: Annotated[
        pathlib.Path | None,
        typer.Option("--map", help="The PNG or SVG file for the map of the highest waves (extra `plots`). Default: tsunami.png."),
    ] = None,
    coarsen: Annotated[int, typer.Option(help="The side of a grid cell in units of 10 arc-minutes: 1, 2, 3, 4 or 6.")] = 1,
    hours: Annotated[float, typer.Option(help="Simulated hours after the earthquake.")] = 20.0,
    memory: Memory = OVERLAP,
) -> None:
    """Simulate a tsunami across the Pacific while nodes are killed, repeat the run without losses, and compare every bit.

    With the defaults the demo takes about a minute on two cores. Exit status: 0 all bits are equal; 1 some bits differ.
    """
    from perdure.cli.demo import DemoOptions, demo

    if not demo(DemoOptions(kill_every_s=every, seed=seed, coarsen=coarsen, hours=hours, picture=picture, memory=memory)):
        raise typer.Exit(1)


bench = typer.Typer(help="Compare the performance of perdure with other libraries.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.callback()
def _bench() -> None:
    """Compare the performance of perdure with other libraries."""


@bench.command("comm")
def bench_comm_command(
    ranks: Ranks = 4,
    transport: Transport = "shared",
    python: Annotated[
        list[str] | None,
        typer.Option(
            help="A Python interpreter with mpi4py or torch. Default: this interpreter, and those that `make bench-peers` installs."
        ),
    ] = None,
    script: Annotated[pathlib.Path, typer.Option(help="The benchmark script.")] = pathlib.Path("benchmarks/comm.py"),
    plot: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE.png", help="Plot the results by message size into this PNG or SVG file (extra `plots`)."),
    ] = None,
) -> None:
    """Print latency, all-reduce time and the CPU use of a waiting rank, with the ratios to mpi4py and gloo if they are installed."""
    from perdure.cli.bench import bench_comm

    print(bench_comm(script, ranks, python or [], transport, plot))


app.add_typer(simulate, name="simulate")


@app.command("doctor")
def doctor_command() -> None:
    """Check whether this machine meets perdure's requirements, and print which kernels and features perdure uses here."""
    from perdure.cli.doctor import doctor

    if not doctor():
        raise typer.Exit(1)
