"""The options that several commands have, and the arguments of the program."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.launch.program import describe, options_of

PASS_ON = {"allow_extra_args": True}
"""Of a command that hands what follows `--` to the program."""

Program = Annotated[
    str, typer.Argument(metavar="PROGRAM.py[:function]", help="A file with `def main(job, ...)`, or with another function.")
]
Engine = Annotated[
    str, typer.Option(help="local: processes; threads: ranks in one process, for debuggers, unprotected.", rich_help_panel="Shape")
]
Ranks = Annotated[int, typer.Option(help="Processes that run the program.", rich_help_panel="Shape")]
RanksPerNode = Annotated[int, typer.Option(help="How many of them share a node, and so a fate.", rich_help_panel="Shape")]
Spares = Annotated[int, typer.Option(help="Nodes without ranks, ready to replace a lost one.", rich_help_panel="Shape")]
Parity = Annotated[
    int | None,
    typer.Option(help="How many nodes may be lost at the same time: 0 to 3. Default: 1; with one rank 0.", rich_help_panel="Shape"),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="overlap|tight",
        help="overlap: two snapshots; ranks go on during a commit. tight: one; they wait, and sharded arrays lie where they are encoded.",
        rich_help_panel="Shape",
    ),
]
Seed = Annotated[int, typer.Option(help="Of job.rng.", rich_help_panel="Shape")]
Setting = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=SECONDS", help="A time or limit of the protocol: silence_s, start_timeout_s, ...", rich_help_panel="Shape"),
]


def explain_arguments(program: str, words: list[str]) -> None:
    """For `-- --help`: prints the arguments of the program's `main` and exits. A script answers for itself.

    The program is imported, as for a run. Raises UsageError as a run does.
    """
    if "--help" not in words:
        return
    lines = options_of(describe(program, None, None))
    if lines is not None:
        typer.echo(f"Arguments of {program}, after --:\n{lines}")
        raise typer.Exit
