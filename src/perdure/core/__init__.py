"""What should happen next? The pure core of perdure answers with commands, given what has happened so far.

Two state machines, `agent` and `orchestrator`, each a function `step(state, event, now) -> commands` over a state that it changes in
place and nobody else touches. Standard library only: no I/O, no clock, no randomness, no threads, no logging; time is an argument and
timers are the deadlines that `next_deadline` tells. Whoever drives the core (the runtime on real processes, a simulator on virtual
ones) executes the commands and reports what came of them as further events; it decides nothing itself.

The rules are those of the protocol; their names (C1, D3, R2, ...) are given where they are applied.
"""
