"""Names that a program has for parts of an object mean the same after a recovery, or the program is refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from perdure.adapters import objects, sharing
from perdure.adapters.names import Names
from perdure.errors import UsageError


class Vector:
    """Says that it is made of its coordinates, as pickle's documentation advises."""

    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    def __reduce__(self) -> tuple[Any, ...]:
        return Vector, (self.x, self.y)


@dataclasses.dataclass(frozen=True)
class Species:
    name: str
    mass: float = 1.0


class Material:
    def __init__(self, density: float) -> None:
        self.density = density


class Materials:
    water = Material(1.0)
    rock = Material(2.5)


class Values:
    def __init__(self) -> None:
        self.values = np.arange(3.0)


class Rows:
    first = Values()


class Tree:
    def __init__(self, parent: Tree | None) -> None:
        self.parent, self.children, self.visits = parent, list[Tree](), 0


def stored(value: Any) -> np.ndarray:
    frozen = objects.freeze("item", value)
    slot = np.zeros(frozen.nbytes, np.uint8)
    frozen.store(slot)
    return slot


def test_an_object_that_says_how_it_is_made_is_restored_in_place() -> None:
    slot = stored({"position": Vector(3.0, 4.0)})
    position = Vector(0.0, 0.0)
    state = {"position": position}
    objects.restore("item", slot, state)
    assert state["position"] is position
    assert (position.x, position.y) == (3.0, 4.0)


@pytest.mark.parametrize("made", [itertools.count, lambda: itertools.cycle([1, 2, 3])], ids=["count", "cycle"])
def test_a_name_for_a_part_that_a_recovery_makes_anew_is_refused_before_the_loop(made: Any) -> None:
    numbers = made()
    state = {"numbers": numbers}
    with pytest.raises(UsageError, match=r"holds at \['numbers'\] a (count|cycle), which a recovery makes anew"):
        Names().note(objects.freeze("item", state).encoding)
    del numbers
    Names().note(objects.freeze("item", state).encoding)


def test_two_items_do_not_share_an_object_that_says_how_it_is_made() -> None:
    wind = Vector(1.0, 0.0)
    one, two = (objects.freeze(name, {"wind": wind}).encoding for name in ("weather", "fleet"))
    with pytest.raises(UsageError, match="'weather' and 'fleet' share an object"):
        sharing.check([("weather", one), ("fleet", two)])


def test_an_object_that_nothing_changes_may_be_shared() -> None:
    species = Species("N")
    sharing.check([(name, objects.freeze(name, {"kind": species}).encoding) for name in ("a", "b")])


def test_a_frozen_object_is_found_by_its_value_and_not_by_its_place() -> None:
    nitrogen, oxygen = Species("N"), Species("O")
    slot = stored({"atoms": [oxygen, nitrogen, Species("Xe", 131.0)]})
    atoms = [nitrogen, oxygen, nitrogen]
    state = {"atoms": atoms}
    objects.restore("item", slot, state)
    assert state["atoms"] is atoms
    assert atoms[0] is oxygen
    assert atoms[1] is nitrogen
    assert (nitrogen, oxygen) == (Species("N"), Species("O")), "an object that nothing changes was changed"
    assert atoms[2] == Species("Xe", 131.0)


def test_an_attribute_of_a_class_comes_back_as_itself() -> None:
    slot = stored({"cells": [Materials.rock, Materials.water]})
    state = {"cells": [Materials.water, Materials.water]}
    objects.restore("item", slot, state)
    assert state["cells"][0] is Materials.rock
    assert state["cells"][1] is Materials.water
    assert Materials.rock.density == 2.5
    made = objects.thaw("item", slot)
    assert made["cells"][0] is Materials.rock


def test_a_trial_restore_leaves_what_a_class_has_as_it_is() -> None:
    rows = Rows.first.values
    objects.freeze("item", {"rows": [Rows.first]}).try_restore()
    assert Rows.first.values is rows


def test_a_part_that_only_its_own_children_refer_to_may_leave_the_item() -> None:
    root = Tree(None)
    root.children = [Tree(root), Tree(root)]
    state, names = {"root": root}, Names()
    names.note(objects.freeze("item", state).encoding)
    root = root.children[0]
    root.parent = None
    state["root"] = root
    names.check(objects.freeze("item", state).encoding, Counter)


def test_a_part_that_leaves_the_item_while_a_name_means_it_is_refused() -> None:
    old = root = Tree(None)
    root.children = [Tree(root), Tree(root)]
    state, names = {"root": root}, Names()
    names.note(objects.freeze("item", state).encoding)
    state["root"] = root = root.children[0]
    root.parent = None
    with pytest.raises(UsageError, match="has left its place"):
        names.check(objects.freeze("item", state).encoding, Counter)
    assert old.visits == 0
