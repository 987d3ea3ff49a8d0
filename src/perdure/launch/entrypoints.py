"""The processes of a job: `python -m perdure.launch.entrypoints agent ...`, which an engine starts, or `orchestrator ...`, which runs
beside the supervisor. `perdure.engines.entry` has the other arguments.

    supervisor ─┬─ orchestrator
                └─ agent ── nursery ── worker, worker, ...     (one session, so that a node can be ended at once)

The configuration is JSON. Each process dies with its parent. SIGUSR1 makes any of them write to standard error where its threads are.
A process imports only what its role needs: an orchestrator is without NumPy, the program's interface and the communicator.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Sequence

from perdure.engines.entry import receive
from perdure.runtime.lines import wait_for_no_reader


def main(arguments: Sequence[str]) -> None:
    """Run the process that the command's arguments name, as they are above; the first is the program itself."""
    entry = receive(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()  # SIGSEGV and SIGABRT show where they came from
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    wait_for_no_reader()
    match entry.words[0]:
        case "agent":
            from perdure.launch import agent_entry

            agent_entry.run(entry)
        case "orchestrator":
            from perdure.launch import orchestrator_entry

            orchestrator_entry.run(entry)


if __name__ == "__main__":
    main(sys.argv)
