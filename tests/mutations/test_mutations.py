"""Each mistake is caught within so many seeds; without any, none of these seeds breaks a promise (`tests/sim/test_guarantees.py`).

`pytest tests/mutations --rewrite` writes how many it took, and what the catch was, into CAUGHT.md beside this file.
"""

from __future__ import annotations

import pathlib

import pytest

from perdure.sim.campaign import run_scenario
from perdure.sim.cluster import Verdict
from tests.mutations.mistakes import MISTAKES as PROTOCOL_MISTAKES
from tests.mutations.mistakes import with_a_flipped_bit
from tests.mutations.planting import Mutation, hunt
from tests.mutations.supervisor_mistakes import SUPERVISOR_MISTAKES

MISTAKES = (*PROTOCOL_MISTAKES, *SUPERVISOR_MISTAKES)
SEEDS = 500
"""Of the thousand that every test run simulates."""
TABLE = pathlib.Path(__file__).parent / "CAUGHT.md"
HEAD = """# What each mistake took

The mistakes of `mistakes.py` and `supervisor_mistakes.py`, planted one at a time; the seeds until a checker of `perdure.sim` caught it, and
what it said. The scenarios are the usual ones of `perdure simulate faults`, or for a mistake that shows only in a narrow place those named.

| rule | mistake | scenarios | seeds | broken promise |
| --- | --- | --- | ---: | --- |
"""
_lines: list[str] = []


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_the_mistake_is_caught(mistake: Mutation) -> None:
    seeds, failure = hunt(mistake, SEEDS)
    assert failure is not None, f"{mistake.rule}: {mistake.name}: {seeds} seeds have not shown it"
    scenarios = mistake.scenario.__name__.replace("draw", "usual").replace("_", " ")
    _lines.append(f"| {mistake.rule} | {mistake.name} | {scenarios} | {seeds} | {failure.what}: {failure.text[:110].replace('|', '/')} |\n")


@pytest.mark.long
def test_the_scenarios_made_for_a_mistake_break_nothing_without_it() -> None:
    """Or a catch would say nothing about the mistake. Not so where memory fails: a bit that flips before its chunk is encoded spoils the
    parity too, so the job rightly ends with an error (section 10 of the protocol)."""
    for scenario in {mistake.scenario for mistake in MISTAKES} - {with_a_flipped_bit}:
        for seed in range(40):
            came = run_scenario(scenario(seed))
            assert isinstance(came, Verdict), str(came)


def test_the_table_names_every_mistake(rewrites: bool) -> None:
    if rewrites:
        TABLE.write_text(HEAD + "".join(_lines))
    for mistake in MISTAKES:
        assert f"| {mistake.name} |" in TABLE.read_text()
