"""The process of an agent, and of what it forks.

An agent forks its nursery before it has any thread; the nursery imports the program and forks workers. The nursery keeps the pulse (see
`perdure.engines.entry`): it holds little memory, and a node without it is of no use.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any, Final

import msgspec

from perdure import job
from perdure.adapters.kept_memory import KeptMemory
from perdure.coding import copying
from perdure.comm.mpi import singleton
from perdure.core.messages.supervisor import NodeBegun, NodeListens, NodeMisconfigured, ProgramJudged
from perdure.engines.entry import Entry
from perdure.errors import ConfigError, PerdureError
from perdure.launch import by_value
from perdure.launch.configs import AgentConfig
from perdure.launch.import_hook import lend
from perdure.launch.program import dump_result, load
from perdure.launch.reentry import Reentry
from perdure.launch.script import Script
from perdure.logs import bind, configure
from perdure.runtime import nursery
from perdure.runtime.admission import Admission
from perdure.runtime.agent import AgentContext, AgentProcess
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.injector import Injector, ledger
from perdure.runtime.lines import end_lines, write_whole_lines
from perdure.runtime.posix import available_bytes, become_subreaper, die_with_parent, end_process
from perdure.runtime.session import GenerationSession
from perdure.runtime.slots import Slots
from perdure.runtime.worker import WorkerContext, WorkerProcess
from perdure.streams import listen
from perdure.streams.addresses import host_of
from perdure.streams.packets import PacketSocket, packet_pair

VERDICT_CHARACTERS: Final = 5_000
"""The maximal length of an error's text, counted from its end, so that a verdict is one piece on the stream."""


def run(entry: Entry) -> None:
    """The life of an agent and of what it forks."""
    config, pulse, control = msgspec.json.decode(entry.config, type=AgentConfig), entry.pulse, entry.control
    control.send(NodeBegun(pid=os.getpid()))
    bind(job=config.job, node=config.node)
    if config.measures_memory:
        config.parameters = replace(config.parameters, available_bytes=available_bytes())
    copying.prepare()
    spent = ledger(config.spent)
    ours, theirs = packet_pair()
    agent = os.getpid()
    nursery_pid = os.fork()
    if not nursery_pid:
        ours.close()
        _run_nursery(config, theirs, agent, pulse, control, spent)
        os._exit(0)
    theirs.close()
    os.close(pulse)
    configure(config.settings.log_level, as_json=config.settings.log_json, waits=False)
    become_subreaper()
    try:
        listener = listen(config.address)
    except OSError as error:
        text = f"node {config.node} cannot listen at {host_of(config.address)}: {error.strerror}; use an address of its host"
        control.send(NodeMisconfigured(text=text))
        return
    injector = Injector(config.faults, spent, control.fileno(), node=config.node)
    context = AgentContext(agent=config.agent, node=config.node, admission=Admission(bytes.fromhex(config.token)), injector=injector)
    process = AgentProcess(context, config.settings, listener, control, nursery.NurseryClient(ours, nursery_pid))
    control.send(NodeListens(address=listener.address))
    try:
        process.run()
    except ConfigError as error:
        end_process(error)


def _run_nursery(config: AgentConfig, client: PacketSocket, agent: int, pulse: int, control: ControlStream, spent: int) -> None:
    die_with_parent(agent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    write_whole_lines(alone=config.ranks == 1)
    configure(config.settings.log_level, as_json=config.settings.log_json)
    memory, slots, reentry = KeptMemory(), Slots(), Reentry()
    verdict = ProgramJudged(error="", text="")
    singleton.forbid()
    lend(size=config.ranks, lent=config.program.lends)
    try:
        main, arguments = load(config.program)
        if config.program.pickled:
            by_value.place(main)
        main = replace(main, stdin=os.dup(0)) if isinstance(main, Script) else main
    except PerdureError as error:
        verdict = ProgramJudged(error=type(error).__name__, text=str(error)[-VERDICT_CHARACTERS:])
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # a script has a copy of standard input; it is for rank 0 alone
    end_lines()
    control.send(verdict)
    if verdict.error:
        client.receive()
        return

    def whole_main(*given: Any, **named: Any) -> Any:
        result = main(*given, **named)
        end_lines()  # before the end is committed: the job may be over then, and this process
        return result

    def run_main(session: GenerationSession) -> None:
        reentry.begin()
        job.run_main(whole_main, arguments, session, memory, lambda result: dump_result(main, result))

    def run_worker(rank: int, incarnation: int, fds: list[int]) -> None:
        bind(rank=rank)
        injector = Injector(config.faults, spent, control.fileno(), node=config.node, rank=rank)
        context = WorkerContext(
            token=bytes.fromhex(config.token), host=host_of(config.address), rank=rank, incarnation=incarnation, fds=fds,
            settings=config.settings, parameters=config.parameters, injector=injector, transport=config.transport, slots=slots,
        )  # fmt: skip
        WorkerProcess(context, run_main).run()

    def prepare_worker(live_bytes: int, fds: list[int]) -> None:
        slots.prepare(fds)
        memory.reserve(live_bytes)

    nursery.serve(client, run_worker, prepare_worker, pulse)
