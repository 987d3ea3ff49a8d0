"""The processes that an engine starts: `python -m perdure.launch.processes agent FD PULSE`, or `orchestrator FD PULSE`.

    supervisor ─┬─ orchestrator
                └─ agent ── nursery ── worker, worker, ...     (one session, so that a node can be ended at once)

FD gives the configuration as JSON, until its end. An agent forks its nursery before it has any thread; the nursery imports the program
and forks workers. Each process dies with its parent. The nursery keeps the pulse (see `perdure.engines.local`): it holds little memory,
and a node without it is of no use. SIGUSR1 makes any of them write to standard error where its threads are.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import socket
import sys
from typing import Any

import cloudpickle
import msgspec

from perdure import job
from perdure.coding import copying
from perdure.core.faults import NOBODY
from perdure.errors import PerdureError
from perdure.launch.configs import AgentConfig, OrchestratorConfig
from perdure.launch.program import load
from perdure.runtime import nursery
from perdure.runtime.agent import AgentProcess
from perdure.runtime.injector import Injector
from perdure.runtime.orchestrator import OrchestratorProcess
from perdure.runtime.posix import die_with_parent
from perdure.runtime.session import Session
from perdure.runtime.slots import Slots
from perdure.runtime.worker import Place, WorkerProcess


def run_agent(config: AgentConfig, pulse: int) -> None:
    """The life of an agent and of what it forks."""
    copying.prepare()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    agent = os.getpid()
    if not os.fork():
        ours.close()
        os.close(config.lifeline_fd)
        os.close(config.ready_fd)
        _run_nursery(config, theirs, agent, pulse)
        os._exit(0)
    theirs.close()
    os.close(pulse)
    if config.verdict_fd >= 0:
        os.close(config.verdict_fd)
    injector = Injector(config.faults, config.ledger_fd, config.notify_fd, node=config.node)
    process = AgentProcess(
        job=config.job, me=config.agent, node=config.node, settings=config.settings, nursery=nursery.NurseryClient(ours),
        lifeline=config.lifeline_fd, injector=injector,
    )  # fmt: skip
    os.write(config.ready_fd, b"r")
    os.close(config.ready_fd)
    process.run()


def _run_nursery(config: AgentConfig, sock: socket.socket, agent: int, pulse: int) -> None:
    die_with_parent(agent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    memory, slots = job.Memory(), Slots()
    verdict: dict[str, str] = {}
    try:
        main, arguments = load(config.program)
    except PerdureError as error:
        verdict = {"error": type(error).__name__, "text": str(error)[-10_000:]}
    if config.verdict_fd >= 0:
        with socket.socket(fileno=config.verdict_fd) as verdicts, contextlib.suppress(ConnectionError):  # another's was heard already
            verdicts.send(json.dumps(verdict).encode())
    if verdict:
        sock.recv(1)
        return

    def run_main(session: Session) -> None:
        job.run_main(main, arguments, session, memory, cloudpickle.dumps)

    def run_worker(rank: int, incarnation: int, fds: list[int]) -> None:
        injector = Injector(config.faults, config.ledger_fd, config.notify_fd, node=config.node, rank=rank)
        place = Place(
            job=config.job, rank=rank, incarnation=incarnation, fds=fds, settings=config.settings, means=config.means, injector=injector,
            transport=config.transport, slots=slots,
        )  # fmt: skip
        WorkerProcess(place, run_main).run()

    def prepare_worker(live_bytes: int, fds: list[int]) -> None:
        slots.prepare(fds)
        memory.reserve(live_bytes)

    nursery.serve(sock, run_worker, prepare_worker, pulse)


def run_orchestrator(config: OrchestratorConfig, _pulse: int) -> None:
    """The life of an orchestrator; it holds little memory, so the pulse is its own."""
    sock = socket.socket(fileno=config.supervisor_fd)
    injector = Injector(config.faults, config.ledger_fd, config.notify_fd, node=NOBODY)
    OrchestratorProcess(
        job=config.job, number=config.round, shape=config.shape, settings=config.settings, supervisor=sock, injector=injector
    ).run()


def _main(what: str, fd: int, pulse: int) -> None:
    with open(fd, "rb") as pipe:
        text = pipe.read()
    if not text:
        return
    kinds: dict[str, tuple[type[Any], Any]] = {"agent": (AgentConfig, run_agent), "orchestrator": (OrchestratorConfig, run_orchestrator)}
    kind, run = kinds[what]
    config = msgspec.json.decode(text, type=kind)
    die_with_parent(config.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    run(config, pulse)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
