"""`--hosts` and its companions: which machines the nodes are, and how they are reached."""

from __future__ import annotations

import pathlib
import shlex
import sys
from typing import Annotated

import typer

from perdure.engines.hosts import SSH, HostsEngine, parse_hosts
from perdure.errors import ConfigError

HostList = Annotated[
    str | None, typer.Option("--hosts", metavar="H1,H2,...", help="Nodes are these machines, reached by ssh.", rich_help_panel="Hosts")
]
HostsFile = Annotated[pathlib.Path | None, typer.Option(help="The same from a file, a host a line.", rich_help_panel="Hosts")]
Shell = Annotated[
    str | None, typer.Option(metavar="COMMAND", help="In place of ssh; {host} stands where the host goes.", rich_help_panel="Hosts")
]
Python = Annotated[str | None, typer.Option(help="The interpreter on the hosts. Default: the path of this one.", rich_help_panel="Hosts")]


def hosts_engine(engine: str, hosts: str | None, file: pathlib.Path | None, shell: str | None, python: str | None) -> HostsEngine | None:
    """What --hosts and its companions ask for; None: nothing."""
    if hosts is None and file is None:
        if shell is not None or python is not None:
            raise ConfigError("--shell and --python say how hosts are reached: name them with --hosts or --hosts-file")
        return None
    if engine != "local":
        raise ConfigError("--hosts, --hosts-file and --engine exclude one another")
    names = host_names(hosts, file)
    if not names:
        raise ConfigError("--hosts names no host")
    return HostsEngine(names, shell=SSH if shell is None else shlex.split(shell), python=python or sys.executable)


def host_names(hosts: str | None, file: pathlib.Path | None) -> list[str]:
    """Each with its labels."""
    if hosts is not None and file is not None:
        raise ConfigError("--hosts, --hosts-file and --engine exclude one another")
    try:
        return parse_hosts(file.read_text() if file is not None else hosts or "")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--hosts-file {file}: {error}") from error
