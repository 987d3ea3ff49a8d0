"""Random kills of any process of a job, again and again: `python -m tests.faults.campaign --runs 300 --seed 7`.

Each run loses one to four processes (agents, nurseries, workers, the orchestrator), some by SIGSTOP, at instants nobody chose. It must
end with the bits of an undisturbed run, or say that more was lost than parity covers; and leave no process behind. A run is named by
its seed, but its instants are the machine's: the log of its events is what there is to look at.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
from typing import Any

from perdure import Unrecoverable
from perdure.core.settings import Settings
from tests.faults.conftest import Story, tell, undisturbed

SUPERSTEPS = 60


def descendants() -> dict[int, str]:
    """The processes below this one, with their command lines."""
    parents: dict[int, int] = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        if state != "Z":
            parents[int(entry.name)] = int(parent)
    found: dict[int, str] = {}
    below = {os.getpid()}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below}
        for pid in below:
            try:
                found[pid] = pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it has ended meanwhile
    return found


class Killer(threading.Thread):
    """Ends or stops processes until the job is over."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._chance, self._over = chance, threading.Event()
        self.done: list[str] = []

    def run(self) -> None:
        for _ in range(self._chance.randint(1, 4)):
            if self._over.wait(self._chance.uniform(0.0, 1.2)):
                return
            there = descendants()
            if not there:
                continue
            pid = self._chance.choice(sorted(there))
            sign = signal.SIGSTOP if self._chance.random() < 0.15 else signal.SIGKILL
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                continue
            self.done.append(f"{sign.name} {pid} {there[pid][:60]}")

    def end(self) -> None:
        self._over.set()
        self.join()


def one(seed: int) -> tuple[str, list[str], list[dict[str, Any]]]:
    """The outcome of a run, what was done to it, and its events."""
    chance = random.Random(seed)
    killer = Killer(chance)
    events: list[dict[str, Any]] = []
    shape: dict[str, Any] = {"ranks": 4, "spares": chance.randint(0, 3), "parity": chance.randint(1, 2)}
    killer.start()
    outcome = "equal"
    try:
        story: Story = tell(
            events.append,
            arguments={"supersteps": SUPERSTEPS, "pause": 0.02},
            settings=Settings(hang_timeout_s=3.0, start_timeout_s=5.0, unreachable_timeout_s=5.0),
            **shape,
        )
        expected = undisturbed(4, SUPERSTEPS)
        common = expected.committed()
        if story.report.digests != expected.report.digests or story.report.result != expected.report.result:
            outcome = "DIFFERENT"
        elif any(digests != common[superstep] for superstep, digests in story.committed().items() if superstep in common):
            outcome = "DIFFERENT COMMIT"
    except Unrecoverable as error:
        outcome = "unrecoverable"
        events.append({"event": "unrecoverable", "text": str(error)})
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    killer.end()
    deadline = time.monotonic() + 10
    while (left := descendants()) and time.monotonic() < deadline:
        time.sleep(0.05)  # their ends are on the way: this polls for it
    if left:
        outcome += f", LEFT BEHIND {left}"
    return outcome, [str(shape), *killer.done], events


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    undisturbed(4, SUPERSTEPS)
    outcomes: collections.Counter[str] = collections.Counter()
    for seed in range(options.seed, options.seed + options.runs):
        outcome, done, events = one(seed)
        outcomes[outcome] += 1
        print(f"{seed}: {outcome}  {done}", flush=True)
        if outcome not in ("equal", "unrecoverable"):
            print(*(json.dumps(event) for event in events if event["event"] != "progress"), sep="\n", flush=True)
    print(dict(outcomes))
    return 0 if set(outcomes) <= {"equal", "unrecoverable"} else 1


if __name__ == "__main__":
    sys.exit(main())
