"""The manager and its workers: is the integral right, and does chance have no part in the result?"""

from __future__ import annotations

import heapq
import math
import pathlib

import numpy as np
import pytest

import perdure
from perdure.testing import rehearse

FARM = str(pathlib.Path(__file__).parents[2] / "examples" / "farm" / "farm.py")
SMALL = {"supersteps": 40, "batch": 5}


def sine_integral(start: float, end: float, pieces: int = 2000) -> float:
    """The same integral with u = 1/x: that of sin(u)/u, which is smooth."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = (end - start) / pieces / 2
    middles = start + half * (2 * np.arange(pieces)[:, None] + 1)
    u = middles + half * nodes
    return float(half * (weights * np.sin(u) / u).sum())


def test_the_integral_is_right_and_its_error_is_known() -> None:
    value, error, _ = perdure.run(FARM, spares=0, parity=0).result
    assert value == pytest.approx(sine_integral(1.0, 500.0), abs=1e-12)
    assert error < 1e-12


def test_any_number_of_workers_gives_the_same_bits() -> None:
    results = {ranks: perdure.run(FARM, ranks=ranks, spares=0, arguments=SMALL).result for ranks in (1, 2, 3, 5)}
    assert len(set(results.values())) == 1, results


@pytest.mark.parametrize("commit_every", [1, 4])
@pytest.mark.parametrize("faults", [["kill:node=0,superstep=11"], ["kill:node=1,superstep=9", "kill:node=0,superstep=21"]])
def test_the_manager_and_a_worker_may_be_lost(faults: list[str], commit_every: int) -> None:
    undisturbed = perdure.run(FARM, ranks=4, spares=0, arguments=SMALL)
    report = perdure.run(FARM, ranks=4, spares=2, faults=faults, commit_every=commit_every, arguments=SMALL)
    assert report.losses == len(faults)
    assert (report.result, report.digests) == (undisturbed.result, undisturbed.digests)


def test_a_rehearsal_says_that_it_recovers() -> None:
    result = rehearse(FARM, rehearsals=2, arguments=SMALL)
    assert result.recovers, result.difference or result.error


def test_the_worst_intervals_are_halved_first() -> None:
    """The same in plain Python, without perdure."""
    nodes, weights = np.polynomial.legendre.leggauss(12)

    def gauss(start: float, end: float) -> float:
        x = (start + end) / 2 + (end - start) / 2 * nodes
        return float((end - start) / 2 * np.dot(weights, np.sin(1 / x) / x))

    def entry(start: float, end: float) -> tuple[float, float, float, float]:
        value = gauss(start, (start + end) / 2) + gauss((start + end) / 2, end)
        return -abs(value - gauss(start, end)), start, end, value

    heap = [entry(0.002, 1.0)]
    for _ in range(SMALL["supersteps"]):
        worst = [heapq.heappop(heap) for _ in range(min(SMALL["batch"], len(heap)))]
        for _, start, end, _ in worst:
            heapq.heappush(heap, entry(start, (start + end) / 2))
            heapq.heappush(heap, entry((start + end) / 2, end))
    value, *_ = perdure.run(FARM, spares=0, arguments=SMALL).result
    assert value == math.fsum(value for *_, value in heap)
