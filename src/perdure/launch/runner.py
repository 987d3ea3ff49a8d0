"""The composition root: `run` puts engine, supervisor and program together."""

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
    """Run a program on nodes that are processes of this machine, or on threads of this process, and block until it is over.

    Args:
        main: a function that takes the job, or the path of a program, `heat.py` or `heat.py:function`.
        engine: "local": ranks are processes. "threads": ranks are threads of this process, for notebooks and debuggers; no state is
            protected, and node, parity and transport options are ignored. Or an `Engine`, such as
            `perdure.engines.hosts.HostsEngine(["h1", "h2", ...])`: nodes are other machines.
        ranks: the number of ranks, the processes that run `main`.
        ranks_per_node: ranks on one node; they are lost together.
        spares: idle nodes that are ready to replace a lost node.
        parity: the number of nodes that may be lost at the same time, 0 to 3. None: 1, or 0 for one rank, because no other rank can hold
            its parity.
        group_size: ranks in a parity group; None: up to eight; "auto": chosen from the memory of a node and the failure rate; an event
            contains the reason.
        node_memory_bytes: the memory of a node, for "auto"; None: the free memory of this machine, shared by the nodes if they are on it.
        failure_domains: kinds of failure domains, which are labels of nodes, the outermost first, such as `("rack", "node")`. A parity
        group
            has at most `parity` members in one domain if that is possible; otherwise the report contains a `risk`.
        node_labels: the labels of each node, in addition to those of the engine. Spares have the highest numbers.
        commit_every: supersteps between two commits, or "auto"; None: the program's value.
        arguments: keyword arguments of `main`.
        raw_arguments: the same as text, converted by the annotations of `main`: a dict, or words as typed, which a script gets in
            `sys.argv`.
        faults: see `perdure.testing`.
        on_event: a function that is called with each event on the calling thread; while it blocks, the job does not recover. An event is a
            dict with `t` (s since the start), `event` (its name) and its fields, described in `docs/events.md`.
        settings: times and limits of the protocol.
        seed: the seed of `job.rng`.
        transport: the transport between ranks: "shared" (memory), "unix", or "tcp"; None: the fastest one of the engine.
        return_after_s: seconds after which a lost node is started again as an empty spare; None: never.
        on_divergence: the reaction if a replicated item differs between ranks at a commit. "report": an event; "repair": all ranks return
            to the previous commit; "stop": the job ends with `Diverged`; None: the value of `settings`. On the engine "threads" it ends.
        on_crossing: the reaction if a message or request is in transit at a commit, so that a recovery would lose it. "stop": the job ends
            with `UsageError` at that commit; "warn": the report names it, and only a recovery from that commit ends the job; None: the
            value of `settings`.
        memory: "overlap": two snapshots, and ranks compute while one is encoded; "tight": one snapshot, ranks wait for each commit, and
            sharded arrays are encoded in place; None: the value of `settings`.
        check_restore: when declared objects are restored on trial and compared with the original. "first": at the first commit, and when
            parts of a new class appear; "always": at every commit; "off": never.
        lend_mpi4py: provide `perdure.MPI` as `mpi4py.MPI` to the program. If false, a program on several ranks must not import mpi4py.

    Returns:
        The report, with the result of `main` on rank 0.

    Raises:
        UsageError, ConfigError: nothing was started, or the program used perdure wrongly.
        KeyboardInterrupt: after all processes of the job have exited.
        ProgramFailed: `main` raised an exception; the text is its traceback.
        Unrecoverable: more was lost than parity can rebuild.
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
    """Return the result of `main`. UsageError: it cannot be loaded in this process."""
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
    """Check the parameters that every engine needs."""
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
