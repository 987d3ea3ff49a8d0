"""The command `perdure simulate`: run the core under faults in virtual time, and print the results."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from perdure.cli.parts import bar, clock
from perdure.errors import ConfigError

if TYPE_CHECKING:
    from perdure.sim.campaign import Failure
    from perdure.sim.cluster import Verdict
    from perdure.sim.scale import Cost

EVERY_S = 10.0
"""Seconds between two lines of progress if standard error is no terminal."""

SCALE_HEAD = "\n".join(
    [
        f"{'':8} {'milliseconds of core in':^41} {'messages of the':^19} {'bytes sent to a':^23} {'work of the group':^25} "
        f"{'undisturbed':>11}",
        f"{'':8} {'orchestrator':>11} {'its step':>9} {'a member':>9} {'another':>9} {'orchestrator':^19} {'member':>11} {'another':>11} "
        f"{'':25} {'messages':>11}",
        f"{'ranks':>8} {'':>11} {'longest':>9} {'':>9} {'':>9} {'sent':>9} {'received':>9} {'':>11} {'':>11} {'stripes':>8} {'chunks':>7} "
        f"{'watchers':>8} {'a second':>11}",
    ]
)

simulate = typer.Typer(
    help="Test the protocol in virtual time: complete jobs with real bytes, faults at any instant, all guarantees checked at every step.",
    no_args_is_help=True,
)


@simulate.callback()
def _simulate() -> None:
    """Test the protocol in virtual time: complete jobs with real bytes, faults at any instant, all guarantees checked at every step."""


@simulate.command("faults")
def faults_command(
    seeds: Annotated[str, typer.Option(metavar="FROM:TO", help="The seeds of the scenarios, without the second number.")] = "0:1000",
    ranks: Annotated[str, typer.Option(metavar="FROM:TO", help="The numbers of ranks, both ends included.")] = "2:8",
    parity: Annotated[str, typer.Option(metavar="FROM:TO", help="The numbers of parity chunks, both ends included.")] = "0:2",
    flips: Annotated[bool, typer.Option("--flips", help="Add silent data corruption: bits in memory change.")] = False,
    keep_going: Annotated[bool, typer.Option(help="Continue after the first broken guarantee.")] = False,
    shrinks: Annotated[
        bool, typer.Option("--shrink/--no-shrink", help="Reduce a failing scenario to the shortest one that fails in the same way.")
    ] = True,
) -> None:
    """Run a scenario for each seed: a job, its environment and up to three faults, all drawn from the seed.

    `perdure simulate faults --seeds 0:10000 --ranks 4:64 --parity 1:3`

    For a broken guarantee, its name, the last steps and a command that repeats the same schedule are printed.

    Exit status: 0 all guarantees hold; 1 a guarantee is broken; 2 wrong usage.
    """
    from perdure.sim.campaign import run_seeds  # imported here, and below: importing the simulator would delay every command
    from perdure.sim.shrink import shrink

    first, last = parse_range("--seeds", seeds, least=0)
    sizes, parities = parse_range("--ranks", ranks, least=1), parse_range("--parity", parity, least=0)
    if first >= last:
        raise ConfigError(f"--seeds {seeds}: the second number must be greater than the first, because it is not included")
    if parities[1] > 3:
        raise ConfigError(f"--parity {parity}: a group has at most 3 parity chunks; use a smaller number")
    if sizes[0] <= parities[0]:
        raise ConfigError(f"--ranks {ranks}: the smallest job must have more ranks than its parity, which is {parities[0]} or more")
    tally = SimulationTally(total=last - first)
    failures = []
    for failure in tally.watch(run_seeds(range(first, last), sizes, parities, flips=flips)):
        failures.append(failure)
        print(failure)
        if shrinks:
            print(f"the shortest scenario that breaks the same guarantee:\n{shrink(failure).command}")
        if not keep_going:
            break
    print(tally.in_words())
    if failures:
        raise typer.Exit(1)


@simulate.command("replay")
def replay_command(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario as printed for a failure, in quotes.")],
    lines: Annotated[int, typer.Option(help="The number of last lines to print; 0 for all.")] = 60,
) -> None:
    """Run one scenario and print what every state machine received and did.

    `perdure simulate replay "ranks=4 parity=1 seed=7 kill:Prepared,nth=3,victim=1 orchestrator:Seal"`

    A fault is kind:phase; the phase is the name of a command, message or event. `nth=` chooses its n-th occurrence, `delay=` adds steps,
    `victim=` is an index into the living nodes. Exit status: 0 all guarantees hold; 1 a guarantee is broken; 2 the scenario is invalid.
    """
    from perdure.sim.checkers import Broken
    from perdure.sim.cluster import Cluster
    from perdure.sim.scenario import parse
    from perdure.sim.transcript import in_words

    cluster = Cluster(parse(scenario), log=1_000_000)
    try:
        came: Verdict | Broken = cluster.run()
    except Broken as broken:
        came = broken
    words = in_words(cluster.world.log)
    print("\n".join(words[-lines:] if lines else words))
    if isinstance(came, Broken):
        print(f"broken guarantee: {came}")
        raise typer.Exit(1)
    print(f"all guarantees hold: {verdict_in_words(came)}")


@simulate.command("scale")
def scale_command(
    ranks: Annotated[str, typer.Option(metavar="N,N,..", help="The numbers of ranks, each at least 16.")] = "1000,10000",
) -> None:
    """Simulate the loss of one node in jobs of these sizes, and count the work of the state machines.

    `perdure simulate scale --ranks 1000,10000,100000`

    Times are those of `core` alone. Bytes are the encoded messages from the orchestrator to one node. The last column is the number of
    messages that the orchestrator receives per second while there is no failure.
    """
    from perdure.sim.scale import measure
    from perdure.wire import encode

    sizes = [int(size) if size.isdecimal() else 0 for size in ranks.split(",")]
    if min(sizes) < 16:
        raise ConfigError(f"--ranks must be a list of sizes of at least 16, such as 1000,10000, not {ranks!r}")
    print("\n".join([SCALE_HEAD, *(cost_in_words(measure(size, lambda message: len(encode(message)))) for size in sizes)]))


@simulate.command("kinds")
def kinds_command() -> None:
    """List all kinds of faults."""
    from perdure.sim.scenario import KINDS

    for kind, meaning in KINDS.items():
        print(f"{kind:14}{meaning}")


@dataclass(slots=True, kw_only=True)
class SimulationTally:
    """Counts of scenarios by their result, displayed on standard error while they run."""

    total: int
    done: int = 0
    events: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    cpu_started_s: float = field(default_factory=time.process_time)

    def watch(self, results: Iterator[tuple[int, Verdict | Failure]]) -> Iterator[Failure]:
        """Count all results and yield the failures."""
        if not sys.stderr.isatty():
            yield from self._count(results, in_lines=True)
            return
        console = Console(stderr=True)
        with Live(console=console, get_renderable=lambda: self._bar(console.width), refresh_per_second=5, transient=True):
            yield from self._count(results, in_lines=False)

    def _count(self, results: Iterator[tuple[int, Verdict | Failure]], *, in_lines: bool) -> Iterator[Failure]:
        from perdure.sim.campaign import Failure

        told_at = self.started
        for _, came in results:
            self.done += 1
            self.events += came.events
            self.ends[came.what if isinstance(came, Failure) else came.error or "ended with the right result"] += 1
            if in_lines and time.monotonic() - told_at > EVERY_S:
                told_at = time.monotonic()
                print(
                    f"{self.done} of {self.total} scenarios, {self.events} events; {clock(self._left_s())} left",
                    file=sys.stderr,
                    flush=True,
                )
            if isinstance(came, Failure):
                yield came

    def _left_s(self) -> float:
        return (time.monotonic() - self.started) / max(self.done, 1) * (self.total - self.done)

    def _bar(self, width: int) -> RenderableType:
        right = f"{self.events:,} events, {clock(self._left_s())} left" if self.done else ""
        return bar(f"{self.done} of {self.total} scenarios", self.done / self.total, right, width=width)

    def in_words(self) -> str:
        """Return the counts as text."""
        minutes = (time.process_time() - self.cpu_started_s) / 60
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.most_common())
        rate = self.events / max(minutes, 1e-9)
        return f"{self.done} scenarios: {ends}\n{self.events:,} events checked, {rate / 1e6:.2f} million a CPU-minute"


def cost_in_words(cost: Cost) -> str:
    """Return one line of the table."""
    times = f"{cost.orchestrator_s * 1e3:11.1f} {cost.longest_step_s * 1e3:9.1f} {cost.member_s * 1e3:9.2f} {cost.bystander_s * 1e3:9.2f}"
    messages = f"{cost.told:9d} {cost.heard:9d} {cost.member_bytes:11d} {cost.bystander_bytes:11d}"
    return f"{cost.ranks:8d} {times} {messages} {cost.stripes:8d} {cost.chunks:7d} {cost.watched:8d} {cost.words_per_s:11.0f}"


def verdict_in_words(verdict: Verdict) -> str:
    """Return the result of a run as text."""
    end = f"{verdict.error}: {verdict.text}" if verdict.error else "the job ended with the right result"
    return f"{end}, after {verdict.generations} generations, {verdict.events} events and {verdict.virtual_s:.2f} s of virtual time"


def parse_range(option: str, text: str, *, least: int) -> tuple[int, int]:
    """Parse `FROM:TO`, or one number for both."""
    first, colon, last = text.partition(":")
    last = last if colon else first
    if not first.isdecimal() or not last.isdecimal() or not least <= int(first) <= int(last):
        raise ConfigError(f"{option} must be FROM:TO with {least} <= FROM <= TO, such as {least}:{least + 8}, not {text!r}")
    return int(first), int(last)
