"""Names that the program has for parts of an object go on meaning them after a restore, or the restore is refused."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

from perdure.adapters import objects, sharing
from perdure.adapters.encoding import Encoding
from perdure.adapters.references import names_outside
from perdure.errors import UsageError


def stored(value: Any) -> np.ndarray:
    frozen = objects.freeze("item", value)
    frozen.try_restore()
    slot = np.full(frozen.nbytes, 0xEE, np.uint8)
    frozen.store(slot)
    return slot


def restored(live: Any, later: Any) -> None:
    """Restore `later` into `live`, and check that all of it is there."""
    slot = stored(later)
    objects.restore("item", slot, live)
    assert objects.freeze("item", live).equals(slot)


# ---- objects that say how they are made ----------------------------------------------------------------------------------


def test_attributes_that_are_gone_are_gone_after_a_restore() -> None:
    """`del namespace.warmup` in the loop: a loss brought `warmup` back."""
    live = {"ns": types.SimpleNamespace(warmup=True, n=0, grid=np.zeros(2))}
    namespace, grid = live["ns"], live["ns"].grid
    restored(live, {"ns": types.SimpleNamespace(n=2, grid=np.ones(2))})
    assert live["ns"] is namespace
    assert sorted(vars(namespace)) == ["grid", "n"]
    assert namespace.grid is grid
    assert grid.tolist() == [1, 1]


def test_the_advice_for_a_class_of_a_library_is_to_keep_its_parts() -> None:
    """Nobody can change `__getstate__` of NumPy's classes."""
    with pytest.raises(UsageError, match=r"Polynomial is a class of the library numpy, so keep what it is made of in the item instead"):
        stored({"fit": np.polynomial.Polynomial([1.0, 2.0])})


# ---- seed sequences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_seed_sequence_goes_on_where_it_was(ahead: int) -> None:
    """The children of a name for it repeated after a loss."""
    seeds, later = np.random.SeedSequence(7), np.random.SeedSequence(7)
    seeds.spawn(ahead)
    later.spawn(3)
    live = {"seeds": seeds}
    restored(live, {"seeds": later})
    assert live["seeds"] is seeds
    assert seeds.spawn(1)[0].state == later.spawn(1)[0].state


def test_a_seed_sequence_of_other_entropy_is_made_the_committed_one() -> None:
    """`SeedSequence()` in front of the loop has other entropy in each process."""
    seeds, later = np.random.SeedSequence(), np.random.SeedSequence([1, 2], spawn_key=(3,), pool_size=8, n_children_spawned=4)
    live = {"rng": np.random.default_rng(seeds)}
    restored(live, {"rng": np.random.default_rng(later)})
    assert live["rng"].bit_generator.seed_seq is seeds  # type: ignore[attr-defined]
    assert seeds.state == later.state
    assert seeds.generate_state(4).tolist() == later.generate_state(4).tolist()
    assert live["rng"].spawn(1)[0].random() == np.random.default_rng(later.spawn(1)[0]).random()


def test_a_name_for_a_seed_sequence_that_has_gone_is_refused() -> None:
    seeds = np.random.SeedSequence(7)
    live = {"seeds": seeds}
    with pytest.raises(UsageError, match=r"another object at \['seeds'\]"):
        objects.restore("item", stored({"seeds": 1}), live)
    assert seeds.n_children_spawned == 0


def test_only_names_of_the_program_count_for_seed_sequences() -> None:
    made = Encoding("item", {"rng": np.random.default_rng(7), "seeds": [np.random.SeedSequence(7)], "old": np.random.RandomState(3)})
    assert names_outside(made) == {}


def test_two_items_cannot_share_a_seed_sequence() -> None:
    seeds = np.random.SeedSequence(7)
    items = [("a", Encoding("a", {"seeds": seeds})), ("b", Encoding("b", [np.random.default_rng(seeds)]))]
    with pytest.raises(UsageError, match=r"share an object \(\['seeds'\] and \[0\]\.bit_generator\.seed_seq\)"):
        sharing.check(items)
