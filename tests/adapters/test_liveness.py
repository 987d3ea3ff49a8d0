"""A variable that a superstep reads before it writes it may be wrong after a loss; one that it writes first must not be refused."""

from __future__ import annotations

import dis
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from perdure.adapters.liveness import _accesses, is_kept_for_the_end, is_read_first, reads_global


def read(loop: Any) -> None:
    x = None
    for _ in loop:
        print(x)


def written(loop: Any) -> None:
    x = None
    for one in loop:
        x = one
        print(x)


def swapped(loop: Any, y: Any) -> None:
    x = None
    for _ in loop:
        x, y = y, x


def written_on_one_path(loop: Any) -> None:
    x = None
    for one in loop:
        if one:
            x = one
        print(x)


def written_on_both_paths(loop: Any) -> None:
    x = None
    for one in loop:
        if one:
            x = one
        else:
            x = None
        print(x)


def never_read(loop: Any) -> None:
    x = None
    for one in loop:
        x = one  # noqa: F841


def read_after_the_loop(loop: Any) -> Any:
    x = None
    for one in loop:
        if one:
            x = one
    return x


def written_and_read_after_the_loop(loop: Any) -> Any:
    x = None
    for one in loop:
        x = one
    return x


def changed_in_place(loop: Any, x: Any) -> None:
    for _ in loop:
        x += 1


def element_changed(loop: Any, x: Any) -> None:
    for _ in loop:
        x[0] = 1


def captured_before(loop: Any) -> None:
    x = None

    def inner() -> Any:
        return x

    for one in loop:
        print(inner())
        x = one


def captured_inside(loop: Any) -> None:
    x = None
    for one in loop:
        x = one
        print([x for _ in range(3)])


def captured_inside_first(loop: Any) -> None:
    x = None
    for one in loop:
        print([x for _ in range(3)])
        x = one


def in_a_handler(loop: Any) -> None:
    x = None
    for one in loop:
        try:
            print(one)
            x = one
        except ValueError:
            print(x)


def deleted(loop: Any, x: Any) -> None:
    for _ in loop:
        del x
        x = 1  # noqa: F841


def of_a_comprehension_too(loop: Any, rows: Any) -> None:
    x = None
    for _ in loop:
        print([x for x in rows if x], {x: x for x in rows})
        for x in rows:
            print(x)


def read_after_a_comprehension(loop: Any, rows: Any) -> None:
    x = None
    for _ in loop:
        print([x for x in rows if x])
        print(x)


def loop_variable_read(loop: Any, rows: Any) -> None:
    for _ in loop:
        for x in rows:
            print(x)
        print(x)


def keyword_of_a_call(loop: Any) -> None:
    x = None
    for one in loop:
        print(one.x, dict(x=one), "x")
        x = one  # noqa: F841


@pytest.mark.parametrize(
    ("function", "is_read"),
    [
        (read, True), (written, False), (swapped, True), (written_on_one_path, True), (written_on_both_paths, False), (never_read, False),
        (read_after_the_loop, True), (written_and_read_after_the_loop, False), (changed_in_place, True), (element_changed, True),
        (captured_before, True), (captured_inside, False), (captured_inside_first, True), (in_a_handler, True), (deleted, False),
        (of_a_comprehension_too, False), (read_after_a_comprehension, True), (keyword_of_a_call, False),
    ],
)  # fmt: skip
def test_what_a_superstep_reads_first(function: Callable[..., Any], is_read: bool) -> None:
    at = next(one.offset for one in dis.get_instructions(function) if one.opname == "FOR_ITER")
    assert is_read_first(function.__code__, at, "x") is is_read


def test_an_empty_loop_is_not_ordinary() -> None:
    for function, is_read in ((loop_variable_read, False), (written_on_one_path, True), (in_a_handler, False)):
        at = next(one.offset for one in dis.get_instructions(function) if one.opname == "FOR_ITER")
        assert is_read_first(function.__code__, at, "x")
        assert is_read_first(function.__code__, at, "x", is_ordinary=True) is is_read


@pytest.mark.parametrize("name", ["TAKE_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"])
def test_an_unknown_instruction_that_names_a_variable_counts_as_a_read(name: str) -> None:
    for argument in ("x", ("y", "x")):
        (access,) = _accesses(SimpleNamespace(opname=name, argval=argument), "x")  # type: ignore[arg-type]
        assert not access.startswith(("STORE", "DELETE"))
    assert not _accesses(SimpleNamespace(opname=name, argval="y"), "x")  # type: ignore[arg-type]


def test_a_loop_at_the_top_of_a_script() -> None:
    code = compile("for one in loop:\n    x = one\n    y, z = z, y\n", "script", "exec")
    at = next(one.offset for one in dis.get_instructions(code) if one.opname == "FOR_ITER")
    assert [is_read_first(code, at, name) for name in "xyz"] == [False, True, True]


def loop_variable_read_at_the_end(loop: Any, rows: Any) -> Any:
    for _ in loop:
        for x in rows:
            print(x)
    return x


@pytest.mark.parametrize(
    ("function", "is_kept"),
    [
        (read_after_the_loop, True), (written_and_read_after_the_loop, False), (written_on_one_path, False),
        (loop_variable_read_at_the_end, False),
    ],
)  # fmt: skip
def test_what_the_program_would_read_when_its_work_is_done(function: Callable[..., Any], is_kept: bool) -> None:
    at = next(one.offset for one in dis.get_instructions(function) if one.opname == "FOR_ITER")
    assert is_kept_for_the_end(function.__code__, at, "x") is is_kept


def test_functions_that_read_a_global() -> None:
    code = compile("def read():\n    return lambda: x\ndef write():\n    global x\n    x = y.x\n", "module", "exec")
    read, write = (one for one in code.co_consts if hasattr(one, "co_code"))
    assert reads_global(read, "x")
    assert not reads_global(write, "x")
