"""Golden conversations: a scenario, and what its machines say to one another in some part of it; and documents that quote them."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from perdure.sim.cluster import Cluster
from perdure.sim.scenario import parse
from perdure.sim.transcript import in_words

ROOT = pathlib.Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"


@dataclass(frozen=True, slots=True)
class Golden:
    """The head of a golden file. The conversation shown is from the first line that contains `begins` to the next that contains `ends`,
    and what else is answered there."""

    title: str
    scenario: str
    begins: str
    ends: str

    @property
    def head(self) -> str:
        return f"# {self.title}\nscenario: {self.scenario}\nfrom: {self.begins}\nto: {self.ends}\n"

    def conversation(self) -> str:
        """What is said now."""
        cluster = Cluster(parse(self.scenario), log=1_000_000)
        cluster.run()
        lines = in_words(cluster.world.log)
        first = next(number for number, line in enumerate(lines) if self.begins in line)
        last = next(number for number, line in enumerate(lines) if number > first and self.ends in line)
        rest = next((number for number in range(last + 1, len(lines)) if " ms  " in lines[number]), len(lines))
        return "\n".join(lines[first:rest]) + "\n"


def read(path: pathlib.Path) -> tuple[Golden, str]:
    """The head of a golden file, and the conversation that it holds."""
    title, scenario, begins, ends, *rest = path.read_text().split("\n")
    head = Golden(title[2:], scenario.removeprefix("scenario: "), begins.removeprefix("from: "), ends.removeprefix("to: "))
    return head, "\n".join(rest).lstrip("\n")


def quoted(document: str, name: str) -> str:
    """What stands between the marks of `name`."""
    return document.split(f"<!-- {name} -->\n", 1)[1].split(f"<!-- end of {name} -->", 1)[0]


def with_quote(document: str, name: str, text: str) -> str:
    """The document with that in its place."""
    before, rest = document.split(f"<!-- {name} -->\n", 1)
    return f"{before}<!-- {name} -->\n{text}<!-- end of {name} -->{rest.split(f'<!-- end of {name} -->', 1)[1]}"
