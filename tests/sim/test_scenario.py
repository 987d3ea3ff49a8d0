"""A scenario is one line of text, and a seed is a scenario: what failed once can be run again by whoever reads the line."""

from __future__ import annotations

import pytest

from perdure.errors import ConfigError
from perdure.sim.campaign import run_scenario
from perdure.sim.scenario import draw, parse


def test_every_scenario_comes_back_from_its_text() -> None:
    for seed in range(300):
        scenario = draw(seed, (2, 64), (0, 3))
        assert parse(str(scenario)) == scenario


def test_the_same_scenario_gives_the_same_run() -> None:
    for seed in range(5):
        assert run_scenario(draw(seed)) == run_scenario(draw(seed))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ranks=4", "parity"),
        ("ranks=4 parity=1 boom", "boom"),
        ("ranks=4 parity=1 burn:Prepared", "there is no fault 'burn'"),
        ("ranks=4 parity=1 kill:Lunch", "there is no phase 'Lunch'"),
        ("ranks=4 parity=1 kill:Prepared,often", "often"),
        ("ranks=2 parity=2", "groups of more than 2"),
        ("ranks=4 parity=9", "parity 0 to 3"),
    ],
)
def test_what_is_no_scenario_is_told_with_the_word_that_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(text)
