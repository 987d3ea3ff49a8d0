"""A mistake is planted in a running core: a line of a function is replaced by a wrong one, for as long as a `with` lasts."""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perdure.sim.campaign import Failure, run_scenario
from perdure.sim.scenario import Scenario, draw

FLAGS = __future__.annotations.compiler_flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """`right` in the source of `function` becomes `wrong`. `rule`: what the line is there for."""

    name: str
    rule: str
    function: Callable[..., Any]
    right: str
    wrong: str
    scenario: Callable[[int], Scenario] = draw
    """The scenario of a seed, where the usual ones cannot show it."""


@contextlib.contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """The function behaves wrongly inside, wherever it was imported to, for its code is what is exchanged."""
    function: Any = mutation.function
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutation.right) == 1, f"{mutation.name}: the line has changed, so change the mutation with it"
    scope = dict(function.__globals__)
    exec(compile(source.replace(mutation.right, mutation.wrong), inspect.getfile(function), "exec", FLAGS), scope)
    right = function.__code__
    function.__code__ = scope[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = right


def hunt(mutation: Mutation, seeds: int) -> tuple[int, Failure | None]:
    """How many seeds it took to catch it, and what the catch was; None: it was not caught."""
    with planted(mutation):
        for seed in range(seeds):
            came = run_scenario(mutation.scenario(seed))
            if isinstance(came, Failure):
                return seed + 1, came
    return seeds, None
