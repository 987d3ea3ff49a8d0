"""The process of an orchestrator, from its start on: it imports everything, and then waits for its turn."""

from __future__ import annotations

import msgspec

from perdure.core.faults import NOBODY, Fault
from perdure.core.orchestrator import JobShape
from perdure.core.settings import Settings
from perdure.engines.entry import Entry
from perdure.logs import bind, configure
from perdure.runtime.admission import Admission
from perdure.runtime.injector import Injector, ledger
from perdure.runtime.orchestrator import OrchestratorProcess, await_turn


class OrchestratorConfig(msgspec.Struct, kw_only=True):
    """All that an orchestrator must know before its turn."""

    job: str
    token: str
    shape: JobShape
    settings: Settings
    faults: list[Fault]


def run(entry: Entry) -> None:
    """The life of an orchestrator, most of which it may wait for its turn; it holds little memory, so the pulse is its own."""
    config, control = msgspec.json.decode(entry.config, type=OrchestratorConfig), entry.control
    bind(job=config.job)
    configure(config.settings.log_level, as_json=config.settings.log_json, waits=False)
    admission = Admission(bytes.fromhex(config.token))
    turn = await_turn(control)
    injector = Injector(config.faults, ledger(turn.begin.spent), control.fileno(), node=NOBODY)
    OrchestratorProcess(
        turn=turn, shape=config.shape, settings=config.settings, admission=admission, control=control, injector=injector
    ).run()
