"""How does a job start and end? `run` puts engine, supervisor and program together: the composition root."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from perdure.adapters import boxes
from perdure.comm.transports import BETWEEN_PROCESSES, Kind
from perdure.core.domains import Domains, fullest, spread
from perdure.core.faults import parse_fault
from perdure.core.layout import default_group_size, domain_group_size, initial_nodes
from perdure.core.orchestrator import JobShape
from perdure.core.settings import ON_DIVERGENCE, Settings
from perdure.engines import Engine
from perdure.engines.local import LocalEngine
from perdure.errors import ConfigError
from perdure.launch.configs import Order
from perdure.launch.domains import domains_of, joined
from perdure.launch.ending import error_of
from perdure.launch.program import Program, describe
from perdure.launch.report import Account, Report
from perdure.launch.supervisor import Supervisor
from perdure.launch.threads import run_threads
from perdure.runtime.posix import available_bytes
from perdure.runtime.session import Means

__all__ = ["Report", "run"]
ENGINES: Final = ("local", "threads")
DEFAULTS: Final = Settings()


def run(
    main: Callable[..., Any] | str,
    *,
    engine: str | Engine = "local",
    ranks: int = 4,
    ranks_per_node: int = 1,
    spares: int = 1,
    parity: int = 1,
    group_size: int | None = None,
    failure_domains: Sequence[str] = (),
    node_labels: Mapping[int, Mapping[str, str]] | None = None,
    commit_every: int | str | None = None,
    arguments: Mapping[str, Any] | None = None,
    raw_arguments: Mapping[str, str | bool] | None = None,
    faults: Sequence[str] = (),
    on_event: Callable[[dict[str, Any]], None] | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    transport: str | None = None,
    return_after_s: float | None = None,
    debug: bool | None = None,
    on_divergence: str | None = None,
) -> Report:
    """Runs a program on nodes that are processes of this machine, or on threads of this process, and blocks until it is over.

    Args:
        main: a function that takes the job, or the path of a program, `heat.py` or `heat.py:function`.
        engine: "local": processes; or "threads": ranks are threads of this process, for notebooks and debuggers. Then no loss is
            survived and nothing is protected, and what speaks of nodes, parity and transport means nothing. Or an `Engine`, such as
            `perdure.engines.hosts.HostsEngine(["h1", "h2", ...])`: nodes are other machines.
        ranks: processes that run `main`.
        ranks_per_node: how many of them share a node, and so a fate.
        spares: nodes without ranks, ready to take the place of a lost one.
        parity: nodes that may be lost at the same time; 0 to 3.
        group_size: ranks that share parity; None: up to eight.
        failure_domains: labels of nodes that say which fail together, the outermost first, such as `("rack", "node")`. A parity group then
            has at most `parity` members in one domain; where that cannot be, the report says so (`risk`).
        node_labels: node -> its labels, besides those that the engine knows. Spares have the numbers after the nodes that are needed.
        commit_every: supersteps between two commits, or "auto"; None: what the program says.
        arguments: keyword arguments of `main`.
        raw_arguments: the same as text, converted by the annotations of `main`.
        faults: see `perdure.testing`.
        on_event: called with each event, a dict with `t` (s since the start) and `event`.
        settings: times and limits.
        seed: of `job.rng`.
        transport: between ranks: "shared" (memory), "unix", or "tcp"; None: the best that the engine's nodes have.
        return_after_s: a lost node comes back as an empty spare after so many seconds; None: never.
        debug: at each commit, look for messages that cross it, which a recovery would lose; None: if the environment has
            PERDURE_DEBUG=1.
        on_divergence: when a replicated item differs between ranks at a commit: "report" it and go on; "repair": all go back to the commit
            before; "stop": the job ends with `Diverged`; None: what the settings say. On the engine "threads" it always ends.

    Returns:
        The report, with what `main` returned on rank 0.

    Raises:
        UsageError, ConfigError: nothing was started, or the program used perdure wrongly.
        KeyboardInterrupt: after all of the job has ended.
        ProgramFailed: `main` raised; the text is its traceback.
        Unrecoverable: more was lost than the parity rebuilds.
        EngineFailed: the processes could not be started or kept.
    """
    if isinstance(engine, str) and engine not in ENGINES:
        raise ConfigError(f"the engine is {' or '.join(ENGINES)}, not {engine!r}")
    chosen = LocalEngine() if isinstance(engine, str) else engine
    name = engine if isinstance(engine, str) else engine.name
    means = Means(
        seed=seed, commit_every=commit_every, ranks_on_machine=ranks if chosen.shares_memory else ranks_per_node,
        available_bytes=available_bytes(), debug=os.environ.get("PERDURE_DEBUG") == "1" if debug is None else debug,
    )  # fmt: skip
    check_means(means, ranks)
    settings = settings or DEFAULTS
    settings = replace(settings, on_divergence=on_divergence or settings.on_divergence)
    _check_settings(settings)
    account = Account(name, settings)

    def take(event: dict[str, Any]) -> None:
        account.take(event)
        if on_event is not None:
            on_event(event)

    if engine == "threads":
        if faults or return_after_s is not None:
            raise ConfigError("the engine threads survives no fault: leave --fault and --return-after out, or use --engine local")
        account.report.result = run_threads(main, arguments, raw_arguments, means=means, settings=settings, on_event=take)
        return account.report
    labels = joined(dict(enumerate(chosen.labels)), node_labels or {})
    shape = shape_of(ranks, ranks_per_node, spares, parity, group_size, failure_domains, labels)
    order = _order(
        describe(main, arguments, raw_arguments), means, shape, spares, faults, settings, _transport(transport, chosen), return_after_s,
    )  # fmt: skip
    if chosen.nodes_max is not None and order.nodes > chosen.nodes_max:
        raise ConfigError(
            f"{order.nodes} nodes are needed ({order.spares} of them spares), and there are {chosen.nodes_max} hosts: name more"
        )
    ending = Supervisor(order, chosen, take).run()
    error = error_of(ending)
    if error is not None:
        raise error
    account.report.result = pickle.loads(boxes.thaw(np.frombuffer(ending.payload, np.uint8))["result"])
    return account.report


def _transport(wanted: str | None, engine: Engine) -> Kind:
    """The one that is asked for, or the engine's best."""
    if wanted is None:
        return engine.transports[0]
    if wanted not in BETWEEN_PROCESSES:
        raise ConfigError(f"the transport is shared, unix or tcp, not {wanted!r}")
    if wanted not in engine.transports:
        raise ConfigError(f"the transport between nodes of the engine {engine.name} is {' or '.join(engine.transports)}, not {wanted!r}")
    return wanted


def check_means(means: Means, ranks: int) -> None:
    """What every engine needs."""
    commit_every = means.commit_every
    if ranks < 1:
        raise ConfigError(f"--ranks must be 1 or more, not {ranks}")
    if (isinstance(commit_every, str) and commit_every != "auto") or (isinstance(commit_every, int) and commit_every < 1):
        raise ConfigError(f"--commit-every is a number of supersteps from 1 on, or auto, not {commit_every}")


def shape_of(
    ranks: int,
    ranks_per_node: int,
    spares: int,
    parity: int,
    group_size: int | None,
    failure_domains: Sequence[str] = (),
    labels: Mapping[int, Mapping[str, str]] | None = None,
) -> JobShape:
    """How ranks lie on nodes, in failure domains and in parity groups; see `run`. ConfigError: it cannot be."""
    if ranks_per_node < 1:
        raise ConfigError(f"--ranks-per-node must be 1 or more, not {ranks_per_node}")
    if spares < 0:
        raise ConfigError(f"--spares must be 0 or more, not {spares}")
    if parity not in (0, 1, 2, 3):
        raise ConfigError(f"--parity must be 0, 1, 2 or 3, not {parity}")
    nodes = -(-ranks // ranks_per_node) + spares
    domains = domains_of(failure_domains, labels or {}, nodes)
    size = group_size if group_size is not None else _group_size(ranks, ranks_per_node, nodes, parity, domains)
    smallest = ranks // -(-ranks // max(size, 1))
    if size < 1 or smallest <= parity:
        raise ConfigError(
            f"--parity {parity} needs parity groups of more than {parity} ranks, and {ranks} ranks in groups of up to {size} make one of "
            f"{smallest}: use a smaller --parity, or more ranks"
        )
    if smallest - parity > 32 or -(-ranks // -(-ranks // size)) - parity > 32:
        raise ConfigError(f"--group-size {size}: a group may have at most 32 ranks more than parity chunks")
    return JobShape(ranks=ranks, ranks_per_node=ranks_per_node, group_size=size, parity=parity, domains=domains)


def _group_size(ranks: int, ranks_per_node: int, nodes: int, parity: int, domains: Domains) -> int:
    """The default; smaller where groups of that size would have too many members in one failure domain."""
    size = default_group_size(ranks, ranks_per_node, parity)
    if not domains.names or not parity:
        return size
    wanted = initial_nodes(ranks, ranks_per_node)
    seats = sorted(spread(range(nodes), domains)[: wanted[-1] + 1])
    return domain_group_size(ranks, fullest([seats[node] for node in wanted], domains), parity, size)


def _check_settings(settings: Settings) -> None:
    if settings.on_divergence not in ON_DIVERGENCE:
        raise ConfigError(f"--on-divergence is {', '.join(ON_DIVERGENCE)}, not {settings.on_divergence!r}")
    if settings.scrub_bytes_per_s < 0:
        raise ConfigError(f"scrub_bytes_per_s must be 0 or more, not {settings.scrub_bytes_per_s}")


def _order(
    program: Program, means: Means, shape: JobShape, spares: int, faults: Sequence[str], settings: Settings, transport: Kind,
    return_after_s: float | None,
) -> Order:  # fmt: skip
    nodes = -(-shape.ranks // shape.ranks_per_node) + spares
    return Order(
        program=program, shape=shape, spares=spares, settings=settings, means=means,
        faults=[parse_fault(fault, nodes=nodes, ranks=shape.ranks) for fault in faults], transport=transport, return_after_s=return_after_s,
    )  # fmt: skip
