"""Many scenarios, one after the other; what fails is told with the command that runs it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from perdure.sim.checkers import Broken
from perdure.sim.cluster import Cluster, Verdict
from perdure.sim.scenario import Scenario, draw, with_flips
from perdure.sim.transcript import in_words

LAST_MOMENTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A promise was broken: by which scenario, which promise, how, and what came before."""

    scenario: Scenario
    what: str
    text: str
    story: tuple[str, ...]
    events: int

    @property
    def command(self) -> str:
        """Runs the same again."""
        return f'perdure simulate replay "{self.scenario}"'

    def __str__(self) -> str:
        return "\n".join([f"{self.what}: {self.text}", self.command, *self.story])


def run_scenario(scenario: Scenario) -> Verdict | Failure:
    """One run."""
    cluster = Cluster(scenario)
    try:
        return cluster.run()
    except Broken as broken:
        return Failure(
            scenario=scenario,
            what=broken.what,
            text=broken.text,
            story=tuple(in_words(list(cluster.world.log)[-LAST_MOMENTS:])),
            events=cluster.events,
        )


def run_seeds(
    seeds: Iterable[int], ranks: tuple[int, int] = (2, 8), parity: tuple[int, int] = (0, 2), *, flips: bool = False
) -> Iterator[tuple[int, Verdict | Failure]]:
    """The scenarios of these numbers, with `flips` in memory that fails, each with what came of it."""
    for seed in seeds:
        scenario = draw(seed, ranks, parity)
        yield seed, run_scenario(with_flips(scenario) if flips else scenario)
