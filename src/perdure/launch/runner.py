"""How does a job start and end? `run` puts engine, supervisor and program together: the composition root."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from perdure.adapters import objects
from perdure.comm.transports import BETWEEN_PROCESSES, Kind
from perdure.core.faults import parse_fault
from perdure.core.job_events import GroupSizeEvent, TimedEvent, UnprotectedEvent
from perdure.core.layout import nodes_with_ranks
from perdure.core.orchestrator import JobShape
from perdure.core.settings import MEMORY_MODES, ON_CROSSING, ON_DIVERGENCE, Settings
from perdure.engines import Engine
from perdure.engines.local import LocalEngine
from perdure.errors import ConfigError, UsageError
from perdure.launch.configs import JobSpec
from perdure.launch.domains import joined
from perdure.launch.ending import error_of
from perdure.launch.program import Program, Raw, describe
from perdure.launch.report import Account, Report
from perdure.launch.shapes import parity_of, shape_of
from perdure.launch.sizing import AUTO, fixed_size, sized
from perdure.launch.supervisor import Supervisor
from perdure.launch.threads import run_threads
from perdure.logs import check_level
from perdure.runtime.posix import available_bytes
from perdure.runtime.session import CHECK_RESTORE, RankParameters
from perdure.wire.event_json import typed

__all__ = ["Report", "run"]
ENGINES: Final = ("local", "threads")
DEFAULTS: Final = Settings()
ALONE: Final = "the job has one rank, so parity is 0: it survives a crash of its process, but the loss of its node ends the job"


def run(
    main: Callable[..., Any] | str,
    *,
    engine: str | Engine = "local",
    ranks: int = 4,
    ranks_per_node: int = 1,
    spares: int = 1,
    parity: int | None = None,
    group_size: int | str | None = None,
    node_memory_bytes: int | None = None,
    failure_domains: Sequence[str] = (),
    node_labels: Mapping[int, Mapping[str, str]] | None = None,
    commit_every: int | str | None = None,
    arguments: Mapping[str, Any] | None = None,
    raw_arguments: Raw | None = None,
    faults: Sequence[str] = (),
    on_event: Callable[[dict[str, Any]], None] | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    transport: str | None = None,
    return_after_s: float | None = None,
    on_divergence: str | None = None,
    on_crossing: str | None = None,
    memory: str | None = None,
    check_restore: str = "first",
    lend_mpi4py: bool = True,
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
        parity: nodes that may be lost at the same time; 0 to 3. None: 1; with one rank 0, because nobody could hold its parity.
        group_size: ranks that share parity; None: up to eight; "auto": chosen by the memory of a node and the rate of failures, with a
            reason, which is an event.
        node_memory_bytes: for "auto"; None: what this machine has to spare, shared by the nodes if they are on it.
        failure_domains: labels of nodes that say which fail together, the outermost first, such as `("rack", "node")`. A parity group then
            has at most `parity` members in one domain; where that cannot be, the report says so (`risk`).
        node_labels: node -> its labels, besides those that the engine knows. Spares have the numbers after the nodes that are needed.
        commit_every: supersteps between two commits, or "auto"; None: what the program says.
        arguments: keyword arguments of `main`.
        raw_arguments: the same as text, converted by the annotations of `main`: a dict, or words as typed, which a script gets in
            `sys.argv`.
        faults: see `perdure.testing`.
        on_event: called with each event, on the calling thread: while it blocks, nothing is recovered. An event is a dict with `t` (s since
            the start), `event` (its name) and its fields, which `docs/events.md` describes.
        settings: times and limits.
        seed: of `job.rng`.
        transport: between ranks: "shared" (memory), "unix", or "tcp"; None: the best that the engine's nodes have.
        return_after_s: a lost node comes back as an empty spare after so many seconds; None: never.
        on_divergence: when a replicated item differs between ranks at a commit: "report" it and go on; "repair": all go back to the commit
            before; "stop": the job ends with `Diverged`; None: what the settings say. On the engine "threads" it always ends.
        on_crossing: when a message or a request crosses a commit, so that a recovery from there would lose it: "stop": the job ends with
            `UsageError` at that commit; "warn": the report names it, and only a recovery from that commit ends the job; None: what the
            settings say.
        memory: "overlap": ranks go on while a commit is encoded from one of two snapshots; "tight": they wait for it, sharded arrays lie
            where they are encoded, and there is one snapshot; None: what the settings say.
        check_restore: when declared objects are restored on trial and compared with the original: "first", at the first commit and whenever
            parts of a new class appear; "always", at every commit; "off".
        lend_mpi4py: in the program `mpi4py.MPI` is `perdure.MPI`. If false, a program of several ranks that imports mpi4py is refused.

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
        raise ConfigError(f"the engine must be {' or '.join(ENGINES)}, not {engine!r}")
    chosen = LocalEngine() if isinstance(engine, str) else engine
    name = engine if isinstance(engine, str) else engine.name
    settings = settings or DEFAULTS
    settings = replace(
        settings, on_divergence=on_divergence or settings.on_divergence, on_crossing=on_crossing or settings.on_crossing,
        memory=memory or settings.memory,
    )  # fmt: skip
    check_settings(settings)
    parameters = RankParameters(
        seed=seed, commit_every=commit_every, ranks_on_machine=ranks if chosen.capabilities.shares_memory else ranks_per_node,
        available_bytes=available_bytes(), ranks_per_node=ranks_per_node,
        check_restore=check_restore, on_crossing=settings.on_crossing,
    )  # fmt: skip
    check_parameters(parameters, ranks)
    account = Account(name, settings)
    listen = None if on_event is None else typed(on_event)

    def take(timed: TimedEvent) -> None:
        account.take(timed)
        if listen is not None:
            listen(timed)

    if engine == "threads":
        if faults or return_after_s is not None:
            raise ConfigError("the engine threads survives no fault: omit --fault and --return-after, or use --engine local")
        account.report.result = run_threads(
            main, arguments, raw_arguments, parameters=parameters, settings=settings, on_event=take, lends=lend_mpi4py
        )  # fmt: skip
        return account.report
    nodes = nodes_with_ranks(ranks, max(ranks_per_node, 1)) + spares
    labels = joined(dict(enumerate(chosen.capabilities.labels[:nodes])), node_labels or {})
    shape = shape_of(ranks, ranks_per_node, spares, parity_of(parity, ranks), fixed_size(group_size), failure_domains, labels)
    if parity is None and not shape.parity:
        take(TimedEvent(t=0.0, event=UnprotectedEvent(reason=ALONE)))
    if group_size == AUTO:
        share = available_bytes() // (nodes if chosen.capabilities.shares_memory else 1)
        node_bytes = share if node_memory_bytes is None else node_memory_bytes
        shape, choice = sized(shape, spares, settings, state_bytes=None, node_bytes=node_bytes)
        if choice is not None:
            take(TimedEvent(t=0.0, event=GroupSizeEvent(size=choice.size, reason=choice.reason)))
    spec = _job_spec(
        describe(main, arguments, raw_arguments, lends=lend_mpi4py), parameters, shape, spares, faults, settings,
        _transport(transport, chosen), return_after_s,
    )  # fmt: skip
    if chosen.capabilities.nodes_max is not None and spec.nodes > chosen.capabilities.nodes_max:
        raise ConfigError(
            f"the job needs {spec.nodes} nodes ({spec.spares} of them spares), but there are only {chosen.capabilities.nodes_max} hosts: "
            "name more"
        )
    ending = Supervisor(spec, chosen, take).run()
    error = error_of(ending)
    if error is not None:
        raise error
    account.report.result = _result(objects.thaw("result", np.frombuffer(ending.payload, np.uint8))["result"])
    return account.report


def _result(pickled: bytes) -> Any:
    """What `main` returned. UsageError: this process cannot make it."""
    try:
        return pickle.loads(pickled)
    except Exception as error:
        raise UsageError(
            f"the job is over, but the result of main cannot be loaded here ({type(error).__name__}: {error}): return plain values"
        ) from error


def _transport(wanted: str | None, engine: Engine) -> Kind:
    """The one that is asked for, or the engine's best."""
    transports = engine.capabilities.transports
    if wanted is None:
        return transports[0]
    if wanted not in BETWEEN_PROCESSES:
        raise ConfigError(f"the transport must be shared, unix or tcp, not {wanted!r}")
    if wanted not in engine.capabilities.transports:
        raise ConfigError(f"the engine {engine.name} supports the transport {' or '.join(engine.capabilities.transports)}, not {wanted!r}")
    return wanted


def check_parameters(parameters: RankParameters, ranks: int) -> None:
    """What every engine needs."""
    commit_every = parameters.commit_every
    if ranks < 1:
        raise ConfigError(f"--ranks must be 1 or more, not {ranks}")
    if parameters.check_restore not in CHECK_RESTORE:
        raise ConfigError(f"--check-restore must be one of {', '.join(CHECK_RESTORE)}, not {parameters.check_restore!r}")
    if (isinstance(commit_every, str) and commit_every != "auto") or (isinstance(commit_every, int) and commit_every < 1):
        raise ConfigError(f"--commit-every must be a number of supersteps, at least 1, or auto, not {commit_every}")


def check_settings(settings: Settings) -> None:
    """ConfigError: one of them cannot be."""
    if settings.on_divergence not in ON_DIVERGENCE:
        raise ConfigError(f"--on-divergence must be one of {', '.join(ON_DIVERGENCE)}, not {settings.on_divergence!r}")
    if settings.on_crossing not in ON_CROSSING:
        raise ConfigError(f"--on-crossing must be {' or '.join(ON_CROSSING)}, not {settings.on_crossing!r}")
    check_level(settings.log_level)
    if settings.memory not in MEMORY_MODES:
        raise ConfigError(f"--memory must be {' or '.join(MEMORY_MODES)}, not {settings.memory!r}")
    for name in ("scrub_bytes_per_s", "kernel_helpers"):
        if getattr(settings, name) < 0:
            raise ConfigError(f"{name} must be 0 or more, not {getattr(settings, name)}")


def _job_spec(
    program: Program, parameters: RankParameters, shape: JobShape, spares: int, faults: Sequence[str], settings: Settings, transport: Kind,
    return_after_s: float | None,
) -> JobSpec:  # fmt: skip
    nodes = nodes_with_ranks(shape.ranks, shape.ranks_per_node) + spares
    return JobSpec(
        program=program, shape=shape, spares=spares, settings=settings, parameters=parameters,
        faults=[parse_fault(fault, nodes=nodes, ranks=shape.ranks) for fault in faults], transport=transport, return_after_s=return_after_s,
    )  # fmt: skip
