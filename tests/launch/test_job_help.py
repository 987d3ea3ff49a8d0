"""What `help(perdure.Job)` shows: a person's view of the class that a program holds."""

from __future__ import annotations

import pydoc

import pytest

import perdure


def test_help_documents_the_attributes_and_hides_what_is_internal() -> None:
    text = pydoc.plain(pydoc.render_doc(perdure.Job))
    for name in ("rank", "size", "generation", "superstep", "rng", "comm"):
        assert getattr(perdure.Job, name).__doc__ in text
    assert {name for name in vars(perdure.Job) if not name.startswith("_")}.isdisjoint({"keep", "finish"})


def test_a_generator_of_ones_own_is_not_put_in_place_of_the_protected_one() -> None:
    def main(job: perdure.Job) -> None:
        job.rng = 3  # type: ignore[misc, assignment]

    with pytest.raises(perdure.ProgramFailed, match="rng"):
        perdure.run(main, engine="threads", ranks=1)
