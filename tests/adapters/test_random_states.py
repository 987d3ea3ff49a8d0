"""The fingerprint of the random sources changes whenever their states do."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.adapters import random_states


class Sources:
    """A generator and the global sources, and what a program may do with them. `kept`: states that it has saved."""

    def __init__(self) -> None:
        random.seed(1)
        np.random.seed(1)
        self.rng = np.random.default_rng(1)
        self.kept = [(random.getstate(), np.random.get_state(), copy.deepcopy(self.rng.bit_generator.state))]

    def keep(self) -> None:
        self.kept.append((random.getstate(), np.random.get_state(), copy.deepcopy(self.rng.bit_generator.state)))

    def set(self, which: int, source: int) -> None:
        python, numpy, own = self.kept[which % len(self.kept)]
        if source == 0:
            random.setstate(python)
        elif source == 1:
            np.random.set_state(numpy)
        else:
            self.rng.bit_generator.state = own

    def states(self) -> bytes:
        spawned = self.rng.bit_generator.seed_seq.n_children_spawned
        return pickle.dumps((random_states.taken(self.rng), spawned))


DRAWS: list[Callable[[Sources], Any]] = [
    lambda one: random.random(), lambda one: random.gauss(), lambda one: random.normalvariate(), lambda one: random.shuffle([1, 2, 3]),
    lambda one: np.random.random(), lambda one: np.random.standard_normal(), lambda one: np.random.standard_normal(3),
    lambda one: np.random.binomial(10, 0.3), lambda one: np.random.permutation(5), lambda one: np.random.seed(7),
    lambda one: random.seed(7),     lambda one: one.rng.normal(), lambda one: one.rng.spawn(1),
    lambda one: one.rng.integers(3, dtype=np.uint8),
]  # fmt: skip
KEEP, SET = len(DRAWS), len(DRAWS) + 1


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    yield
    random.setstate(python)
    np.random.set_state(numpy)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, SET), st.integers(0, 9), st.integers(0, 2)), max_size=25))
def test_another_state_has_another_fingerprint(steps: list[tuple[int, int, int]]) -> None:
    sources = Sources()
    seen = [(sources.states(), random_states.fingerprint(sources.rng))]
    for step, which, source in steps:
        if step == KEEP:
            sources.keep()
        elif step == SET:
            sources.set(which, source)
        else:
            DRAWS[step](sources)
        states, found = sources.states(), random_states.fingerprint(sources.rng)
        assert all(found != before for known, before in seen if known != states)
        seen.append((states, found))


def test_a_saved_second_normal_that_is_put_back_is_seen() -> None:
    """It is in no word of the twister, and its position is the same."""
    sources = Sources()
    np.random.standard_normal()
    sources.keep()
    np.random.standard_normal()
    before = random_states.fingerprint(sources.rng)
    sources.set(1, 1)
    assert random_states.fingerprint(sources.rng) != before


def test_nothing_drawn_is_the_same_fingerprint() -> None:
    sources = Sources()
    before = random_states.fingerprint(sources.rng)
    random_states.taken(sources.rng)
    assert random_states.fingerprint(sources.rng) == before


def test_other_sources_that_a_program_chooses_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = Sources()
    own = random.Random(5)
    monkeypatch.setattr(random, "getstate", lambda: own.getstate())
    before = random_states.fingerprint(sources.rng)
    own.random()
    between = random_states.fingerprint(sources.rng)
    assert between != before
    chosen = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(3))
    try:
        before = random_states.fingerprint(sources.rng)
        np.random.random()
        assert len({repr(one) for one in (between, before, random_states.fingerprint(sources.rng))}) == 3
    finally:
        np.random.set_bit_generator(chosen)
