"""The automatic interval: near Daly's optimum, within its bounds, and explained."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.interval import BOUNDS, GROWTH, Choice, Failures, choose_interval, expected_waste, explained, failure_interval
from perdure.core.settings import Settings

FREE = Settings(commit_overhead=1.0, commit_interval_max_s=1e12)
"""Bounds that bind nothing."""


def chosen(settings: Settings = FREE, **given: Any) -> Choice:
    usual = {
        "superstep_s": 1e-3, "commit_s": 0.01, "failures": Failures(every_s=3600.0, learnt=False), "previous": 10**9, "settings": settings,
    }  # fmt: skip
    return choose_interval(**{**usual, **given})


def higher_order(commit_s: float, failure_s: float) -> float:
    """Daly 2006, equation 37."""
    if commit_s >= 2 * failure_s:
        return failure_s
    ratio = commit_s / (2 * failure_s)
    return math.sqrt(2 * commit_s * failure_s) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - commit_s


def time_per_work(interval_s: float, commit_s: float, recovery_s: float, failure_s: float) -> float:
    """Daly 2006, equation 20: wall time per second of work when failures come by chance."""
    return failure_s / interval_s * math.exp(recovery_s / failure_s) * math.expm1((interval_s + commit_s) / failure_s)


@given(st.floats(1e-3, 10.0), st.floats(60.0, 1e7), st.floats(0.0, 60.0))
def test_it_is_as_good_as_dalys_higher_order(commit_s: float, failure_s: float, recovery_s: float) -> None:
    """Above it by 2/3 sqrt(C / 2M) at most, the first term that the first order leaves out; the time is the same to a few per mille."""
    ours = chosen(commit_s=commit_s, failures=Failures(every_s=failure_s, learnt=False)).optimum_s
    theirs = higher_order(commit_s, failure_s)
    assert 0 <= ours - theirs <= 2 / 3 * math.sqrt(commit_s / (2 * failure_s)) * ours
    ratio = time_per_work(ours, commit_s, recovery_s, failure_s) / time_per_work(theirs, commit_s, recovery_s, failure_s)
    assert ratio == pytest.approx(1.0, abs=max(5e-3, 2 * commit_s / failure_s))


def test_a_recovery_does_not_move_the_optimum() -> None:
    """It multiplies the time of every interval alike, so it is told, and not part of the choice."""
    for interval_s in (10.0, 100.0):
        ratios = {round(time_per_work(interval_s, 1.0, cost, 3600.0) / time_per_work(50.0, 1.0, cost, 3600.0), 12) for cost in (0.0, 30.0)}
        assert len(ratios) == 1


def test_what_is_expected_to_be_wasted_is_what_the_exact_model_says() -> None:
    commits, losses = expected_waste(interval_s=100.0, commit_s=0.5, recovery_s=2.0, failure_every_s=36_000.0)
    assert 1 + commits + losses == pytest.approx(time_per_work(100.0, 0.5, 2.0, 36_000.0), rel=2e-5)


@pytest.mark.parametrize(
    ("given", "supersteps", "bound", "words"),
    [
        ({}, 8485, "", "sqrt(2 x commit x failure) = 8.49 s; expected"),
        ({"superstep_s": None}, 1, "unmeasured", "before a superstep was measured"),
        (
            {"settings": Settings(commit_overhead=0.001, commit_interval_max_s=1e9)},
            10_000,
            "overhead",
            "at most 0.1% (commit_overhead)",
        ),
        (
            {"settings": Settings(commit_interval_max_s=5.0)},
            5000,
            "loss",
            "shortened to 5 s, the maximum of work that may be lost (commit_interval_max_s)",
        ),
        ({"previous": 9}, 9 * GROWTH, "growth", "at most 8 times the previous one"),
        ({"superstep_s": 60.0}, 1, "superstep", "less than a superstep"),
    ],
)
def test_each_bound_binds_and_is_named(given: dict[str, Any], supersteps: int, bound: str, words: str) -> None:
    choice = chosen(**given)
    assert (choice.supersteps, choice.bound) == (supersteps, bound)
    assert bound in BOUNDS
    text = explained(choice, 0.25, given.get("settings", FREE))
    assert words in text
    assert "\n" not in text


def test_the_numbers_are_in_the_explanation() -> None:
    text = explained(chosen(failures=Failures(every_s=3600.0, learnt=True)), 0.25, FREE)
    assert (
        "every 8485 supersteps (8.48 s): a commit costs 10 ms, a recovery 250 ms and the repeated work; a failure every 60 min (seen)"
        in text
    )
    assert "expected waste: commits 0.12%, failures 0.12%" in text
    assert "recovery" not in explained(chosen(), None, FREE)


def test_failures_are_learnt_when_more_were_seen_than_configured() -> None:
    settings = Settings(mean_time_between_failures_s=1000.0)
    assert failure_interval(nodes=4, elapsed_s=100.0, failures=0, settings=settings) == Failures(every_s=250.0, learnt=False)
    assert failure_interval(nodes=4, elapsed_s=300.0, failures=1, settings=settings) == Failures(every_s=250.0, learnt=False)
    assert failure_interval(nodes=4, elapsed_s=300.0, failures=3, settings=settings) == Failures(every_s=100.0, learnt=True)


def test_a_choice_comes_back_from_an_event() -> None:
    assert Choice(**asdict(chosen())) == chosen()
