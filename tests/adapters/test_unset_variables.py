"""A variable that is unset must not change what a program does that writes it first, and must name itself in the error if it is read."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from perdure.adapters.unset_variables import CAN_UNSET_LOCALS, Unsetting, may_unset_attribute


class Holder:
    """An object of a program."""

    def __init__(self) -> None:
        self.part: Any = [1]


class WithDefault:
    """An object whose class answers for a missing attribute."""

    part: Any = None

    def __init__(self) -> None:
        self.part = [1]


def asks(one: Any) -> bool:
    return hasattr(one, "part")


def test_a_global_that_is_read_names_itself() -> None:
    unsetting, names = Unsetting(), {"part": [1], "other": 2}
    unsetting.unset_global(names, "part", None, "why")
    with pytest.raises(NameError) as caught:
        exec("print(part)", names)
    assert unsetting.explain(caught.value) == "why"
    with pytest.raises(NameError) as caught:
        exec("print(unknown)", names)
    assert unsetting.explain(caught.value) is None


def test_a_global_is_put_back_unless_it_was_written() -> None:
    unsetting, names = Unsetting(), {"one": 1, "two": 2}
    unsetting.unset_global(names, "one", None, "why")
    unsetting.unset_global(names, "two", None, "why")
    names["two"] = 3
    unsetting.put_back()
    assert (names["one"], names["two"]) == (None, 3)


@pytest.mark.skipif(not CAN_UNSET_LOCALS, reason="since Python 3.12 nothing can unset a local variable of a running function")
def test_a_local_variable_is_unset_and_the_others_stay() -> None:
    unsetting = Unsetting()

    def run(*, writes: bool) -> Any:
        kept, captured = [1], [2]
        for number in range(2):
            if number == 0 or writes:
                part = [number]
            else:
                unsetting.unset_local(sys._getframe(), "part", "why")
        return kept, (lambda: captured)(), part

    assert run(writes=True) == ([1], [2], [1])
    with pytest.raises(UnboundLocalError) as caught:
        run(writes=False)
    assert unsetting.explain(caught.value) == "why"


def test_an_attribute_that_is_read_names_itself_also_as_the_cause_of_another_error() -> None:
    unsetting, holder = Unsetting(), Holder()
    assert may_unset_attribute(holder, "part", [])
    unsetting.unset_attribute(holder, "part", "why")

    def run() -> None:
        try:
            print(holder.part)
        except AttributeError as error:
            raise RuntimeError("solver failed") from error

    with pytest.raises(RuntimeError) as caught:
        run()
    assert unsetting.explain(caught.value) == "why"
    assert unsetting.explain(AttributeError("another")) is None
    unsetting.put_back()
    assert holder.part == [1]


def test_an_attribute_stays_where_its_absence_would_go_unnoticed() -> None:
    assert not may_unset_attribute(WithDefault(), "part", [])
    assert not may_unset_attribute(Holder(), "part", [asks.__code__])
    assert not may_unset_attribute([], "part", [])
