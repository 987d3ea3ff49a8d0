"""Options for nodes on other machines: --hosts, --hosts-file, --shell and --python."""

from __future__ import annotations

import pathlib
import shlex
import sys
from typing import Annotated

import typer

from perdure.engines.hosts import SSH, HostsEngine, parse_hosts
from perdure.errors import ConfigError

HostList = Annotated[
    str | None,
    typer.Option("--hosts", metavar="H1,H2,...", help="Machines that are the nodes of the job, reached by ssh.", rich_help_panel="Hosts"),
]
HostsFile = Annotated[pathlib.Path | None, typer.Option(help="A file with one host per line, instead of --hosts.", rich_help_panel="Hosts")]
Shell = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND", help="The command to reach a host instead of ssh; {host} is replaced by the host.", rich_help_panel="Hosts"
    ),
]
Python = Annotated[
    str | None, typer.Option(help="The Python interpreter on the hosts. Default: the path of this interpreter.", rich_help_panel="Hosts")
]


def hosts_engine(engine: str, hosts: str | None, file: pathlib.Path | None, shell: str | None, python: str | None) -> HostsEngine | None:
    """Return the engine for --hosts or --hosts-file, or None if neither is given."""
    if hosts is None and file is None:
        if shell is not None or python is not None:
            raise ConfigError("--shell and --python need --hosts or --hosts-file")
        return None
    if engine != "local":
        raise ConfigError("--hosts, --hosts-file and --engine exclude each other: use one of them")
    names = host_names(hosts, file)
    if not names:
        raise ConfigError("--hosts contains no host: name at least one")
    return HostsEngine(names, shell=SSH if shell is None else shlex.split(shell), python=python or sys.executable)


def host_names(hosts: str | None, file: pathlib.Path | None) -> list[str]:
    """Return the hosts with their labels, from the list or the file."""
    if hosts is not None and file is not None:
        raise ConfigError("--hosts, --hosts-file and --engine exclude each other: use one of them")
    try:
        return parse_hosts(file.read_text() if file is not None else hosts or "")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--hosts-file {file}: {error}") from error
