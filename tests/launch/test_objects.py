"""A program whose state is made of ordinary Python values ends with the undisturbed result after losses, or is refused from the start."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure import UsageError
from perdure.adapters.unset_variables import CAN_UNSET_LOCALS

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"
"""The kinds of values below are functions in `programs/objects.py`, or in another file there that is named before the colon."""
RIGHT = [
    "book", "alias", "name_after", "name_before", "closure", "set_order", "array_order", "spawned", "rng_name", "mesh", "containers",
    "before_the_loop", "replicated", "swapped_inside",
    "identities:sentinel", "identities:reduced_by_copyreg", "identities:taken_inside",
    "identities:swapped_everywhere",
    "variables:global_taken_inside", "variables:attribute_taken_inside", "variables:blocks",
    "variables:iterators_made_inside", "variables:namespace_taken_inside", "variables:captured_taken_inside",
]  # fmt: skip
RIGHT += ["variables:same_condition"] if CAN_UNSET_LOCALS else []
REFUSED = {
    "swapped_names": r"the part \['(old|new)'\] of the item 'state' has left its place",
    "shared_between": r"the items 'one' and 'two' share an object \(\['model'\].* and \['model'\]",
    "view_of_array": "the items 'plate' and 'state' share memory|the items 'state' and 'plate' share memory",
    "view_in_derived": "the derived value 'edge' refers to the item 'plate'",
    "part_in_derived": "the derived value 'step' refers to the item 'state'",
    "init_of_what_is_held": r"init of the item 'state' returns at \['model'\] an object that the program has elsewhere",
    "own_rng": "the item 'state' holds job.rng",
    "masked_item": "the item 'mine' is a MaskedArray",
    "identities:swapped_in_pairs": r"the variable 'a' meant the part \['a'\].* and means the part \['b'\]",
    "identities:swapped_variables": r"the variable 'cur' of the module .* meant the part \['a'\] .* and means the part \['b'\]",
    "identities:swapped_items": "the variable 'old' meant the item 'old' when the loop began and means the item 'new' now",
    "identities:swapped_views": "the variable 'old' meant a view of the item 'both' when the loop began and",
    "identities:swapped_rows": r"the variable 'old' meant a view of the part \['table'\] of the item 'state' when the loop began",
    "identities:swapped_buffers": r"the variable 'old' meant a view of the part \['a'\] .* and means a view of the part \['b'\]",
    "identities:swapped_attributes": r"the variable 'self.old' meant the part \['a'\] .* and means the part \['b'\]",
    "identities:carried_over": r"the variable 'last' means the part \['layers'\]\[1\].* since the loop began",
    "identities:a_global_comes_in": r"the variable 'LOG' of the module .* means the part \['log'\].* since the loop began",
    "variables:global_kept": r"the variable 'before' of the module .* means the part \['layers'\]\[1\].* since the loop began",
    "variables:local_kept": r"the variable 'last' means the part \['layers'\]\[1\].* since the loop began",
    "variables:captured_kept": r"the variable 'last' means the part \['layers'\]\[1\].* since the loop began",
    "variables:attribute_kept": r"the variable 'self.current' meant the part \['layers'\]\[0\] .* and means the part \['layers'\]\[1\]",
    "variables:iterator_advanced": r"the variable 'todo' is an iterator over the part \['todo'\] of the item 'state' from before the loop",
    "variables:generator_advanced": r"the variable 'turns' is an iterator over the part \['layers'\].* from before the loop",
    "variables:captured_swapped": r"the variable .*u'.* meant the item 'u' when the loop began and means the item 'prev' now",
    "variables:swapped_around_a_generator": "the variable 'u' meant the item 'u' when the loop began and means the item 'prev' now",
    "variables:rebound_around_a_generator": "the variable 'u' was the item 'u' and is another object at superstep 2",
    "variables:swapped_class_attributes": r"the variable 'Grid\.u' of the module .* meant the item 'u' .* and means the item 'prev'",
    "variables:kept_for_the_end": r"the variable 'best' means the part \['layers'\]\[1\].* since the loop began",
}


@pytest.mark.parametrize("what", RIGHT)
def test_the_result_after_two_losses_is_that_of_an_undisturbed_run(what: str) -> None:
    undisturbed = _run(what).result
    disturbed = _run(what, "kill:node=0,superstep=9", "kill:node=1,superstep=21")
    assert disturbed.result == undisturbed
    assert disturbed.generations == 3


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_come_back_wrong_is_refused_in_an_undisturbed_run(what: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[what]):
        _run(what)


def _run(what: str, *faults: str) -> perdure.Report:
    file, _, kind = what.rpartition(":")
    return perdure.run(
        str(PROGRAMS / f"{file or 'objects'}.py"), ranks=2, spares=len(faults), arguments={"what": kind}, faults=list(faults)
    )
