"""Print docs/reference/commands.md, made from the help of the command: python docs/generate_commands.py > docs/reference/commands.md"""

from __future__ import annotations

import inspect
import pathlib
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer

from perdure.cli import app

HEAD: Final = """# The command

<!-- Generated from src/perdure/cli by: python docs/generate_commands.py > docs/reference/commands.md -->

Every command has `--help`, which shows the same. The exit status says who must act: 0 the job is complete, 1 the program failed, 2 the
command or the program uses perdure wrongly, 3 more was lost than the parity rebuilds.
"""
_WORDS: Final = {int: "INTEGER", float: "NUMBER", str: "TEXT", pathlib.Path: "PATH"}

Command = Callable[..., Any]
Parameter = tuple[inspect.Parameter, Any, Any]
"""A parameter of a command's function, its type, and typer's description of it."""


def page() -> str:
    """Return the whole document."""
    commands = list(_commands(app, "perdure"))
    index = "".join(f"| [`{name}`](#{name.replace(' ', '-')}) | {_cell(_paragraphs(command)[0])} |\n" for name, command in commands)
    sections = "".join(_section(name, command) for name, command in commands)
    return f"{HEAD}\n| command | what it does |\n| --- | --- |\n{index}{sections}"


def _commands(group: typer.Typer, name: str) -> Iterator[tuple[str, Command]]:
    """Yield the name and the function of each command, those of groups below included."""
    for command in group.registered_commands:
        assert command.callback is not None
        if not command.hidden:
            yield f"{name} {command.name}", command.callback
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from _commands(below.typer_instance, f"{name} {below.name or below.typer_instance.info.name}")


def _paragraphs(command: Command) -> list[str]:
    """Return the paragraphs of a command's help."""
    return [" ".join(one.split()) for one in str(inspect.getdoc(command)).split("\n\n")]


def _section(name: str, command: Command) -> str:
    panels: dict[str, list[Parameter]] = {}
    for parameter in _parameters(command):
        panels.setdefault(parameter[2].rich_help_panel or "Options", []).append(parameter)
    words = [_argument(one) for found in panels.values() for one in found if isinstance(one[2], typer.models.ArgumentInfo)]
    usage = " ".join([name, "[OPTIONS]", *words])
    text = "\n\n".join(one if one.startswith("`") else re.sub(r"(?<![`\w-])--(?![\w-])", "`--`", one) for one in _paragraphs(command))
    tables = "".join(f"\n**{panel}**\n\n{_table(found)}" for panel, found in panels.items())
    return f"\n## `{name}`\n\n{text}\n\n    {usage}\n{tables}"


def _parameters(command: Command) -> Iterator[Parameter]:
    hints = typing.get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if typing.get_origin(hints[name]) is typing.Annotated:
            kind, description = typing.get_args(hints[name])[:2]
            yield parameter, kind, description


def _table(parameters: list[Parameter]) -> str:
    rows = "".join(f"| {_name(one)} | {_cell(one[2].help or '')}{_default(one)} |\n" for one in parameters)
    return f"| name | meaning |\n| --- | --- |\n{rows}"


def _argument(one: Parameter) -> str:
    word = one[2].metavar or one[0].name.upper()
    return word if one[0].default is inspect.Parameter.empty else f"[{word}]"


def _name(one: Parameter) -> str:
    parameter, kind, description = one
    if isinstance(description, typer.models.ArgumentInfo):
        return f"`{_argument(one)}`"
    names = [
        name for name in (description.default, *(description.param_decls or ())) if isinstance(name, str)
    ]  # typer keeps the first apart
    names = names or [f"--{parameter.name.replace('_', '-')}"]
    shown = ", ".join(f"`{name}`" for name in "/".join(names).split("/"))
    return shown if kind is bool else f"{shown} {' or '.join(f'`{word}`' for word in (description.metavar or _word(kind)).split('|'))}"


def _word(kind: Any) -> str:
    """The type of an option's value, where the command gives it no name. An option of a list may be repeated."""
    inner = [one for one in typing.get_args(kind) if one is not types.NoneType]
    return _word(inner[0]) if inner else _WORDS[kind]


def _default(one: Parameter) -> str:
    value = one[0].default
    if value is None or value is False or value is inspect.Parameter.empty or isinstance(one[2], typer.models.ArgumentInfo):
        return ""
    return " Default: on." if value is True else f" Default: `{value}`."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
