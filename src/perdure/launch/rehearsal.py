"""Rehearsals: a program is run undisturbed and then with losses, and every declared item is compared at every common commit.

What differs was not protected: a module's global, a file, a random source or a clock that the program's state depends on and that it did
not declare. A message that crosses a commit is lost by a recovery from there; it is found in the undisturbed run.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from perdure.core.job_events import CommittedEvent, TimedEvent
from perdure.core.layout import nodes_with_ranks
from perdure.errors import ConfigError, PerdureError
from perdure.launch import Report, run
from perdure.launch.domains import domains_of
from perdure.launch.shapes import homes_of, parity_of
from perdure.wire.event_json import on_json, typed

Digests = dict[int, dict[str, tuple[str, ...]]]
"""Superstep -> item -> digest by rank; the end counts as the superstep after the last."""
Watched = Callable[[], AbstractContextManager[Callable[[dict[str, Any]], None]]]
"""Opens what shows the events of one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first thing that was not the same."""

    fault: str
    superstep: int
    item: str
    rank: int

    def __str__(self) -> str:
        return f"{self.item!r} differs on rank {self.rank} at superstep {self.superstep} after {self.fault}"


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """The result of a rehearsal. `commits` were compared; `difference` and `error` are None if the program recovers."""

    faults: list[str] = field(default_factory=list)
    commits: int = 0
    difference: Difference | None = None
    error: str | None = None

    @property
    def recovers(self) -> bool:
        """Every run ended with the items and the result of the undisturbed one."""
        return self.difference is None and self.error is None


def rehearse(
    main: Callable[..., Any] | str,
    *,
    rehearsals: int = 3,
    seed: int = 0,
    commit_every: int = 2,
    tell: Callable[[str], None] = lambda text: None,
    watch: Watched = lambda: nullcontext(lambda event: None),
    **options: Any,
) -> Rehearsal:
    """Run `main` once undisturbed and `rehearsals` times with a loss each, at an instant chosen by `seed`.

    Nodes and single workers are lost in turn; without parity, workers only.

    Args:
        commit_every: supersteps between two commits: small, so that there is much to compare.
        tell: called with a line of text before each run.
        watch: makes for each run a context whose value is called with the run's events.
        options: of `perdure.run`.

    Raises:
        ConfigError: the program is too short to lose anything, or the options do not fit. What the undisturbed run raises passes through.
    """
    tell("undisturbed")
    expected, report = _recorded(main, commit_every, (), watch, options)
    if report.supersteps < 2:
        raise ConfigError(f"a rehearsal needs a program with at least 2 supersteps, but this one has {report.supersteps}")
    dice, homes = random.Random(seed), _homes(options)
    result = Rehearsal()
    for number in range(rehearsals):
        node = number % 2 == 0 and bool(parity_of(options.get("parity"), len(homes)))
        fault = _fault(dice, homes, report.supersteps, node=node)
        result.faults.append(fault)
        tell(fault)
        try:
            found, again = _recorded(main, commit_every, (fault,), watch, options)
        except ConfigError:
            raise  # what was asked for cannot be had, which says nothing about the program
        except PerdureError as error:
            result.error = f"after {fault} the program failed: {error}"
            return result
        result.commits += len(expected.keys() & found.keys())
        result.difference = first_difference(expected, found, fault)
        if result.difference is None and in_text(again.result) != in_text(report.result):
            result.error = f"after {fault} all items are equal, but the results of main differ"
        if not result.recovers:
            return result
    return result


def _homes(options: Mapping[str, Any]) -> list[int]:
    """The node of each rank."""
    ranks, per_node, spares = options.get("ranks", 4), options.get("ranks_per_node", 1), options.get("spares", 1)
    labels = options.get("node_labels") or {}
    domains = domains_of(options.get("failure_domains", ()), labels, nodes_with_ranks(ranks, per_node) + spares)
    return homes_of(ranks, per_node, spares, domains)


def _fault(dice: random.Random, homes: Sequence[int], supersteps: int, *, node: bool) -> str:
    """A node with ranks is lost, or a single worker."""
    superstep = dice.randrange(1, supersteps)
    if node:
        return f"kill:node={dice.choice(sorted(set(homes)))},superstep={superstep}"
    return f"crash:rank={dice.randrange(len(homes))},superstep={superstep}"


def _recorded(
    main: Callable[..., Any] | str, commit_every: int, faults: tuple[str, ...], watch: Watched, options: Mapping[str, Any]
) -> tuple[Digests, Report]:
    """One run, and the digests of all its commits; of one that was made again after a loss, the later ones."""
    digests: Digests = {}
    with watch() as shown:
        show = typed(shown)

        def note(timed: TimedEvent) -> None:
            show(timed)
            match timed.event:
                case CommittedEvent(superstep=superstep, digests=of_items):
                    digests[superstep] = of_items

        report = run(main, commit_every=commit_every, faults=faults, on_event=on_json(note), **options)
    return digests, report


def in_text(result: Any) -> str:
    """Results are compared as the report would show them."""
    return Report(result=result).to_json()


def first_difference(expected: Digests, found: Digests, fault: str) -> Difference | None:
    """The first that is not the same, of all items and ranks at the common commits; one that is missing differs."""
    for superstep in sorted(expected.keys() & found.keys()):
        for item in expected[superstep] | found[superstep]:
            both = (digests[superstep].get(item, ()) for digests in (expected, found))
            for rank, (ours, theirs) in enumerate(itertools.zip_longest(*both)):
                if ours != theirs:
                    return Difference(fault=fault, superstep=superstep, item=item, rank=rank)
    return None
