"""How much memory does protection hold, against the formula 2 + 2 m / (n - m) in units of the state, in tight mode 1 + 2 m / (n - m)?

    python benchmarks/memory.py [--mib 64] [--ranks 8] [--parity 2] [--memory tight] [--json]

The kernel's proportional set size (PSS: a page that k processes share counts 1/k in each) of all processes of all nodes, when both slots
have been used. A run with a small state is taken off, and so are the live items, so what is left is what protection holds. There are no
spares.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
from typing import Any, Final

import perdure
from perdure.core.settings import MEMORY_MODES, Settings
from perdure.runtime.posix import descendants

WORK: Final = str(pathlib.Path(__file__).parent / "memory_work.py")
SMALL_MIB: Final = 1
MIB: Final = 1 << 20
AFTER: Final = 3
"""Commits after which nothing more is allocated: two fill both slots, and the third is past them."""


def main() -> None:
    """Runs the small job and the large one, and prints what lies between."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=64, help="MiB of state of each rank")
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--parity", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--memory", nargs="+", choices=MEMORY_MODES, default=list(MEMORY_MODES))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [measure(given.ranks, parity, given.mib, memory) for memory in given.memory for parity in given.parity]
    for row in rows:
        print(
            f"{row['memory']}, n = {row['ranks']}, m = {row['parity']}, {row['mib']} MiB a rank: protection holds {row['extra']:.2f} times "
            f"the state (formula {row['formula']:.2f}, ratio {row['extra'] / row['formula']:.2f})"
        )
    if given.json:
        print(json.dumps(rows))


def measure(ranks: int, parity: int, mib: int, memory: str) -> dict[str, Any]:
    """What is held beyond the live items, in units of them."""
    large, small = (held_bytes(ranks, parity, size, memory) for size in (SMALL_MIB + mib, SMALL_MIB))
    live = ranks * mib * MIB
    return {
        "memory": memory, "ranks": ranks, "parity": parity, "mib": mib, "extra": (large - small - live) / live,
        "formula": Settings(memory=memory).snapshots + 2 * parity / (ranks - parity),
    }  # fmt: skip


def held_bytes(ranks: int, parity: int, mib: int, memory: str) -> int:
    """PSS of all nodes' processes in a job whose ranks hold so much."""
    sessions: set[int] = set()
    found: list[int] = []

    def look(event: dict[str, Any]) -> None:
        if event["event"] == "agent_started":
            sessions.add(event["pid"])
        if event["event"] == "committed" and event["superstep"] == AFTER and not found:
            found.append(sum(pss_bytes(pid) for pid in descendants(os.getpid()) if _session(pid) in sessions))

    shape: dict[str, Any] = {"ranks": ranks, "spares": 0, "parity": parity, "group_size": ranks, "memory": memory}
    perdure.run(WORK, commit_every=1, arguments={"mib": mib}, on_event=look, **shape)
    return found[0]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def pss_bytes(pid: int) -> int:
    """Of one process; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


if __name__ == "__main__":
    main()
