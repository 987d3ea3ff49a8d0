"""Options that several commands share, and the help for a program's own arguments."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.launch.program import describe, options_of

PASS_ON = {"allow_extra_args": True}
"""Context settings of a command that passes the words after `--` to the program."""

Program = Annotated[
    str, typer.Argument(metavar="PROGRAM.py[:function]", help="A Python file with `def main(job, ...)`, or a file and a function.")
]
Engine = Annotated[
    str,
    typer.Option(
        help="local: ranks are processes; threads: ranks are threads of one process, for debuggers, without protection.",
        rich_help_panel="Shape",
    ),
]
Ranks = Annotated[int, typer.Option(help="The number of ranks, the processes that run the program.", rich_help_panel="Shape")]
RanksPerNode = Annotated[int, typer.Option(help="Ranks on one node; they are lost together.", rich_help_panel="Shape")]
Spares = Annotated[int, typer.Option(help="Idle nodes that are ready to replace a lost node.", rich_help_panel="Shape")]
Parity = Annotated[
    int | None,
    typer.Option(
        help="The number of nodes that may be lost at the same time: 0 to 3. Default: 1, or 0 for one rank.", rich_help_panel="Shape"
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="overlap|tight",
        help="overlap: two snapshots; ranks compute during a commit. tight: one snapshot; ranks wait for each commit.",
        rich_help_panel="Shape",
    ),
]
Seed = Annotated[int, typer.Option(help="The seed of job.rng.", rich_help_panel="Shape")]
Setting = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=SECONDS", help="A time or limit of the protocol: silence_s, start_timeout_s, ...", rich_help_panel="Shape"),
]


def explain_arguments(program: str, words: list[str]) -> None:
    """Print the arguments of the program's `main` and exit, if the words contain `--help`. A script handles `--help` itself.

    The program is imported, as for a run. Raises UsageError as a run does.
    """
    if "--help" not in words:
        return
    lines = options_of(describe(program, None, None))
    if lines is not None:
        typer.echo(f"Arguments of {program} (after --):\n{lines}")
        raise typer.Exit
