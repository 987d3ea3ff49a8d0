"""A sentinel, which programs compare with `is`, comes back as itself; what has state comes back with it."""

from __future__ import annotations

import copyreg
import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest

from perdure.adapters import objects
from perdure.errors import UsageError
from tests.adapters.test_encoding import again, stored

MISSING = object()
first_name = object()
ALIAS = first_name


class Unset:
    pass


class Sentinel:
    ABSENT = object()

    def __init__(self, name: str) -> None:
        self.name = name


class Sealed:
    """No pickle can hold it, but `copyreg` says how it is made."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        raise TypeError("sealed")


UNSET = Unset()
NAMED = Sentinel("NAMED")
SETTINGS = Sentinel("before")
LOG: list[int] = []
DEFAULT = (1, "a", -0.0)
NO_DATA = float("nan")
variable: Any = None
SENTINELS = {
    "object()": MISSING, "an object() with two names": first_name, "of a class": Sentinel.ABSENT, "without attributes": UNSET,
    "with a name": NAMED, "of the standard library": dataclasses.MISSING, "a class": inspect.Parameter.empty, "masked": np.ma.masked,
    "of NumPy": np._NoValue,
}  # fmt: skip


@pytest.mark.parametrize("constant", [DEFAULT, NO_DATA], ids=["a tuple", "a NaN"])
def test_a_constant_of_the_program_comes_back_as_itself(constant: Any) -> None:
    equal = tuple(constant[:1]) + constant[1:] if isinstance(constant, tuple) else float("nan")
    made = again({"constant": constant, "deep": [{"there": (2, constant)}], "equal": equal})
    assert made["constant"] is made["deep"][0]["there"][1] is constant
    assert made["equal"] is not constant


def test_a_constant_with_another_value_now_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = stored({"constant": DEFAULT})
    monkeypatch.setitem(globals(), "DEFAULT", (1, "a", 0.0))
    assert repr(objects.thaw("item", slot)) == "{'constant': (1, 'a', -0.0)}"


@pytest.mark.parametrize("what", SENTINELS)
def test_a_sentinel_comes_back_as_itself(what: str) -> None:
    value = SENTINELS[what]
    made = again({"value": value, "others": [value, {"deep": (value,)}]})
    assert made["value"] is made["others"][0] is made["others"][1]["deep"][0] is value


@pytest.mark.parametrize("what", SENTINELS)
def test_a_sentinel_comes_back_where_another_stood(what: str) -> None:
    live = {"value": Sentinel("other"), "list": [None]}
    objects.restore("item", stored({"value": SENTINELS[what], "list": [SENTINELS[what]]}), live)
    assert live["value"] is live["list"][0] is SENTINELS[what]  # type: ignore[index]


def test_an_object_with_attributes_comes_back_with_them_in_place() -> None:
    slot = stored({"settings": SETTINGS})
    SETTINGS.name = "after"
    live: dict[str, Any] = {}
    objects.restore("item", slot, live)
    assert live["settings"] is SETTINGS
    assert SETTINGS.name == "before"


def test_an_object_keeps_its_place_when_its_attributes_become_more() -> None:
    """A name that the program has for it before the loss must go on meaning it."""
    live = {"settings": SETTINGS}
    SETTINGS.more = [1]  # type: ignore[attr-defined]
    slot = stored(live)
    del SETTINGS.more  # type: ignore[attr-defined]
    objects.restore("item", slot, live)
    assert live["settings"] is SETTINGS
    assert SETTINGS.more == [1]  # type: ignore[attr-defined]
    del SETTINGS.more  # type: ignore[attr-defined]


def test_a_variable_that_means_an_object_for_a_while_is_no_name_of_it() -> None:
    global variable
    variable = Sentinel("a part")
    made = again({"value": variable})
    assert made["value"] is not variable
    assert made["value"].name == "a part"


def test_a_list_of_a_module_comes_back_by_value() -> None:
    made = again({"log": LOG})
    assert made["log"] == LOG
    assert made["log"] is not LOG


def test_a_name_that_means_another_thing_after_the_loss_is_refused() -> None:
    global variable
    variable = object()
    slot = stored({"value": variable})
    variable = 5
    with pytest.raises(UsageError, match="a object then and a int now: give the object a name"):
        objects.thaw("item", slot)


def test_an_anonymous_object_is_refused() -> None:
    with pytest.raises(UsageError, match=r"at \['value'\] a bare object\(\).*top level of a module"):
        stored({"value": object()})


def test_a_reducer_of_copyreg_is_used() -> None:
    copyreg.pickle(Sealed, _reduced)
    try:
        made = again({"value": Sealed(3)})["value"]
    finally:
        del copyreg.dispatch_table[Sealed]
    assert type(made) is Sealed
    assert made.value == 3


def _reduced(sealed: Sealed) -> Any:
    return Sealed, (sealed.value,)
