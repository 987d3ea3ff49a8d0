"""The benchmarks of the suite, with the arguments of each, and how its JSON becomes rows: a ratio beside what it must reach."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One ratio. `must` and `aim`: what it is to reach, from below if `more_is_better`, else from above; None: nothing was set."""

    benchmark: str
    name: str
    ratio: float
    more_is_better: bool
    must: float | None = None
    aim: float | None = None

    @property
    def met(self) -> bool | None:
        """Does it reach `must`? None: nothing was set."""
        if self.must is None:
            return None
        return self.ratio >= self.must if self.more_is_better else self.ratio <= self.must


Rows = Callable[[Any], Iterator[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """`title` says what is divided by what."""

    name: str
    title: str
    script: str
    rows: Rows
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


ENCODE: Final = {1: (1.8, 2.5), 2: (1.2, 2.0), 3: (0.9, 1.7)}
DECODE: Final = {1: (1.5, 2.0), 2: (1.0, 1.7)}
HOLD_UP: Final = (1.5, 1.1)
UNDISTURBED: Final = (1.02, 1.01)
PARTIAL: Final = (0.15, 0.05)
"""At least, and the aim (the first two: of k = 4 chunks on one thread). Others are below, beside what they are about."""


def _codec(found: Any) -> Iterator[Row]:
    for row in found:
        kernel, lost = str(row["kernel"]), row["lost"]
        other = ", NumPy" if kernel.startswith("NumPy") else ", two threads" if kernel.endswith("2 threads") else ""
        must, aim = (None, None) if other else (DECODE if lost else ENCODE).get(lost or row["m"], (None, None))
        what = f"decode {lost} lost, m = {row['m']}" if lost else f"encode, m = {row['m']}"
        yield Row(
            benchmark="codec", name=what + other, ratio=row["ratio"], more_is_better=True, must=must, aim=aim,
        )  # fmt: skip


def _exchange(found: Any) -> Iterator[Row]:
    for row in found:
        shape = f"m = {row['parity']}, {row['ranks']} ranks of {row['mib']} MiB"
        yield Row(
            benchmark="exchange", name=f"commit, a byte sent, {shape}", ratio=row["commit_bytes_to_ring"], more_is_better=True,
            must=0.6, aim=0.8,
        )  # fmt: skip
        yield Row(benchmark="exchange", name=f"rebuild of one rank, {shape}", ratio=row["rebuild_to_ring"], more_is_better=True)


PROTECTION: Final = {"overlap": 2.7, "tight": 1.7}
"""In units of the state, for n = 8 and m = 2."""


def _memory(found: Any) -> Iterator[Row]:
    for row in found:
        name = f"{row['memory']}, n = {row['ranks']}, m = {row['parity']}, {row['mib']} MiB a rank (formula {row['formula']:.2f})"
        yield Row(
            benchmark="memory", name=name, ratio=row["extra"], more_is_better=False,
            must=PROTECTION[row["memory"]] if (row["ranks"], row["parity"]) == (8, 2) else None, aim=row["formula"],
        )  # fmt: skip


def _overhead(found: Any) -> Iterator[Row]:
    for mb, one in found.items():
        must, aim = UNDISTURBED if mb == "undisturbed" else HOLD_UP
        if mb == "undisturbed":
            ratio = statistics.fmean(one["on"]) / statistics.fmean(one["off"])
            name = "undisturbed, against no protection"
            inside = statistics.fmean(one["inside"])
            yield Row(benchmark="overhead", name=name, ratio=ratio, more_is_better=False, must=must, aim=aim)
            yield Row(benchmark="overhead", name="the same, inside each run", ratio=inside, more_is_better=False, must=must, aim=aim)
        else:
            times = one["hold_up"]
            ratio = statistics.median(times["commit"]) / statistics.median(times["at once"])
            name = f"a commit holds up, against memcpy, {mb} MiB a rank"
            yield Row(benchmark="overhead", name=name, ratio=ratio, more_is_better=False, must=must, aim=aim)


def _partial(found: Any) -> Iterator[Row]:
    for mb, one in found.items():
        for what, (whole, part) in one["times"].items():
            ratio = statistics.median(part) / statistics.median(whole)
            must, aim = PARTIAL if what == "committed" else (None, None)
            name = f"{what}, 1 % changed against all, {mb} MiB a rank"
            benchmark = "apart" if one["between_hosts"] else "tracked" if one["track_writes"] else "partial"
            yield Row(benchmark=benchmark, name=name, ratio=ratio, more_is_better=False, must=must, aim=aim)


REDSET: Final = {1: (1.2, 2.0), 2: (4.0, 6.0)}
"""Of a commit, by the parity."""


def _redset(found: Any) -> Iterator[Row]:
    for row in found:
        for what, key, (must, aim) in (
            ("commit", "commit_faster", REDSET.get(row["parity"], (None, None))), ("rebuild", "rebuild_faster", (1.3, 2.0)),
        ):  # fmt: skip
            name = f"{what}, m = {row['parity']}, {row['ranks']} ranks of {row['mib']} MiB"
            yield Row(benchmark="redset", name=name, ratio=row["mapped"][key], more_is_better=True, must=must, aim=aim)


RECOVERY: Final = {"ULFM, spawn": (0.35, 0.2), "torchrun": (0.05, 0.03), "torchft": (0.08, 0.05)}
PROTECT: Final = {"ULFM, spawn": (0.4, 0.15)}
"""How long a protection holds the ranks up."""


def _recovery(found: Any) -> Iterator[Row]:
    for mb, one in found.items():
        for what, key, wanted in (
            ("first superstep", "ratios", RECOVERY), ("held up by a protection", "protect_ratios", PROTECT),
        ):  # fmt: skip
            for peer, ratio in one[key].items():
                must, aim = wanted.get(peer, (None, None))
                name = f"{peer}, {mb} MiB a rank: {what}"
                yield Row(benchmark="recovery", name=name, ratio=ratio, more_is_better=False, must=must, aim=aim)


def _revoke(found: Any) -> Iterator[Row]:
    for nbytes, one in found.items():
        for what, ratio in one["ratios"].items():
            name = f"an all-reduce of {nbytes} B, {what}"
            yield Row(benchmark="revoke", name=name, ratio=ratio, more_is_better=False, must=1.0)


BENCHMARKS: Final = (
    Benchmark(
        name="codec", title="speed of the codec, divided by that of memcpy on one thread", script="codec.py", rows=_codec,
        quick=("--mib", "1"),
    ),
    Benchmark(
        name="exchange", title="commit and rebuild, divided by a raw ring of TCP sockets", script="exchange.py", rows=_exchange,
        arguments=("--over", "tcp"), quick=("--over", "tcp", "--mib", "4", "--turns", "2"),
    ),
    Benchmark(
        name="memory", title="what protection holds (PSS), divided by the state", script="memory.py", rows=_memory,
        quick=("--mib", "4", "--ranks", "4", "--parity", "1"),
    ),
    Benchmark(
        name="overhead", title="what protection costs a job that loses nothing", script="overhead.py", rows=_overhead,
        quick=("--mb", "8", "--commits", "3", "--steps", "3000", "--pairs", "2"),
    ),
    Benchmark(
        name="partial", title="a commit when 1 % of the state has changed, divided by a full one", script="partial.py", rows=_partial,
        quick=("--mb", "8", "--commits", "3"),
    ),
    Benchmark(
        name="tracked", title="the same where the kernel says what was written", script="partial.py", rows=_partial,
        arguments=("--track-writes",), quick=("--mb", "8", "--commits", "3", "--track-writes"),
    ),
    Benchmark(
        name="apart", title="the same between hosts, over TCP", script="partial.py", rows=_partial,
        arguments=("--track-writes", "--namespaced"), quick=("--mb", "8", "--commits", "3", "--track-writes", "--namespaced"),
    ),
    Benchmark(
        name="redset", title="redset's time in shared memory, divided by ours", script="redset.py", rows=_redset,
        quick=("--mib", "4", "--turns", "1"),
    ),
    Benchmark(
        name="recovery", title="perdure's time after a SIGKILL, and in a protection, divided by its peers'", script="recovery.py",
        rows=_recovery, quick=("--mb", "8", "--runs", "1"),
    ),
    Benchmark(
        name="revoke", title="time until all survivors are out of a call, divided by ULFM's", script="revoke.py", rows=_revoke,
        quick=("--runs", "1", "--bytes", "8"),
    ),
)  # fmt: skip
"""In the order of the page."""
