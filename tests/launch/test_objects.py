"""A program whose state is made of ordinary Python values ends with the undisturbed result after losses, or is refused from the start."""

from __future__ import annotations

import pathlib

import pytest

import perdure
from perdure import UsageError

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"
"""The kinds of values below are functions in `programs/objects.py`, or in another file there that is named before the colon."""
RIGHT = [
    "book", "alias", "name_after", "name_before", "closure", "set_order", "array_order", "spawned", "rng_name", "mesh", "containers",
    "before_the_loop", "replicated", "swapped_inside",
    "identities:sentinel", "identities:reduced_by_copyreg", "identities:taken_inside",
]  # fmt: skip
REFUSED = {
    "swapped_names": r"the part \['(old|new)'\] of the item 'state' has left its place",
    "shared_between": r"the items 'one' and 'two' share an object \(\['model'\].* and \['model'\]",
    "view_of_array": "the items 'plate' and 'state' share memory|the items 'state' and 'plate' share memory",
    "view_in_derived": "the derived value 'edge' refers to the item 'plate'",
    "part_in_derived": "the derived value 'step' refers to the item 'state'",
    "init_of_what_is_held": r"init of the item 'state' returns at \['model'\] an object that the program has elsewhere",
    "own_rng": "the item 'state' holds job.rng",
    "masked_item": "the item 'mine' is a MaskedArray",
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
