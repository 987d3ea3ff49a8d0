"""What can one orchestrator handle? A real `OrchestratorProcess` on real sockets, and some thousands of simulated agents.

    python benchmarks/orchestrator_load.py --agents 2000 --seconds 10

The agents say what real ones say and do none of the work: they live in this process, each with a socket of its own. Measured are the
messages that the orchestrator takes in, what share of a core it needs for them, one commit, and one failure from the engine's word to the
resume. The heads of the tree answer for all of their part at once; in a real job each level below them adds a hop.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import machine

from perdure.core import messages as msg
from perdure.core.agent.relay import milestones_of
from perdure.core.faults import NOBODY
from perdure.core.ids import Ballot, Label
from perdure.core.job_events import name_of
from perdure.core.multicast_tree import split
from perdure.core.orchestrator.state import JobShape
from perdure.core.progress import CALLS_MAX
from perdure.core.settings import Settings
from perdure.runtime.admission import HELLO, Admission
from perdure.runtime.channel import Channel
from perdure.runtime.control_stream import ControlStream
from perdure.runtime.injector import Injector
from perdure.runtime.orchestrator import OrchestratorProcess, Turn
from perdure.streams import Listener, Stream, listen
from perdure.streams.addresses import unix_address
from perdure.streams.pairs import pair
from perdure.wire import control_lines

GROUP, VICTIM, BASE = 8, 3, Label(1, 0)
IN_FLIGHT = 64
"""ControlStream of the supervisor that the orchestrator has not answered: neither is to wait for the other to read."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
COSTS = msg.RankCosts(protect_s=0.0, application_bytes=0, live_bytes=0)


class Job:
    """All agents of a job, its supervisor and its register, on one selector."""

    def __init__(self, agents: int) -> None:
        self.size = agents
        self.name = f"load-{os.getpid()}"
        self.said = self.heard = 0
        self.published: Counter[str] = Counter()
        self.resumed: set[int] = set()
        self.committed = 0
        self.plan: Any = None
        self.channels: dict[int, Channel] = {}
        self._selector = selectors.DefaultSelector()
        ours, theirs = pair()
        self._supervisor = ControlStream(ours)
        listeners = {number: listen(self._address(number)) for number in range(1, agents + 2)}
        self.orchestrator = os.fork()
        if not self.orchestrator:
            for other in (self._supervisor, *listeners.values()):
                os.close(other.fileno())
            self._orchestrate(theirs)
        theirs.close()
        for number, listener in listeners.items():
            self._watch(listener, lambda number=number, listener=listener: self._accept(number, listener))
        self._watch(self._supervisor, self._supervisor_told)

    def _orchestrate(self, supervisor: Stream) -> None:
        """The process that is measured; it does not come back."""
        shape = JobShape(ranks=self.size, ranks_per_node=1, group_size=GROUP, parity=1)
        try:
            control = ControlStream(supervisor)
            OrchestratorProcess(
                turn=Turn(begin=msg.BeginRound(round=1, spent=()), received=[]),
                shape=shape,
                settings=Settings(),
                admission=Admission(bytes(32)),
                control=control,
                injector=Injector((), -1, control.fileno(), node=NOBODY),
            ).run()
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _address(self, number: int) -> str:
        return unix_address(f"{self.name}-{number}")

    def close(self) -> None:
        """The orchestrator ends with its supervisor."""
        self._supervisor.close()
        os.waitpid(self.orchestrator, 0)

    def cpu_s(self) -> float:
        """CPU seconds that the orchestrator has used."""
        with open(f"/proc/{self.orchestrator}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    # ---- what arrives ------------------------------------------------------------------------------------------------------

    def turn(self, timeout_s: float) -> None:
        """Reacts to what is there."""
        for key, _ in self._selector.select(timeout_s):
            key.data()

    def until(self, holds: Callable[[], bool], what: str) -> float:
        """Turns until it holds, and says how long that took (s)."""
        begun = time.monotonic()
        while not holds():
            if time.monotonic() - begun > 120:
                raise SystemExit(f"{what}: not after two minutes; run it with fewer --agents")
            self.turn(0.05)
        return time.monotonic() - begun

    def _until_published(self, event: str, times: int) -> None:
        self.until(lambda: self.published[event] >= times, f"{event}, {times} times")

    def _watch(self, what: Any, react: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, react)

    def _accept(self, number: int, listener: Listener) -> None:
        stream = listener.accept()
        stream.receive_exactly(memoryview(bytearray(HELLO.size)))
        channel = self.channels[number] = Channel(stream)
        self._watch(stream, lambda: self._read(number, channel))

    def _read(self, number: int, channel: Channel) -> None:
        for message in channel.receive() or ():
            self.heard += 1
            self._answer(number, message)

    def say(self, number: int, *messages: msg.FromAgent) -> None:
        """An agent's words; one that waits for the orchestrator to read keeps them."""
        for message in messages:
            self.said += 1
            self.channels[number].send(message)
        while self.channels[number].has_unsent:
            self.channels[number].flush()

    def tell(self, message: msg.ToOrchestrator) -> None:
        """A message of the supervisor to the orchestrator."""
        self._supervisor.send(message)

    def _supervisor_told(self) -> None:
        for message in map(control_lines.from_orchestrator, self._supervisor.receive() or ()):
            match message:
                case msg.Propose(plan=plan):
                    self.plan = plan
                    self.tell(msg.RegisterHolds(plan=plan))
                case msg.Note(plan=plan):
                    self.plan = plan
                case msg.Publish(event=event):
                    self.published[name_of(event)] += 1
                case msg.Finish(error=error, text=text):
                    raise SystemExit(f"the job has ended: {error}: {text}")

    def _answer(self, number: int, message: Any) -> None:
        """What a real agent would say, with all of its part of the tree."""
        reach = getattr(message, "reach", None)
        match message:
            case msg.Greet():
                self.say(number, msg.AgentStatus(generation=0, phase="spare", resumed=False, ranks=(), ready=(), silent=()))
            case msg.Seal() | msg.Accept() | msg.Install() | msg.Amend() | msg.Resume() if reach is not None:
                self.say(number, *(self._gathered(milestone, message, reach) for milestone in milestones_of(message)))
            case msg.Accept(ballot=ballot):
                self.say(number, msg.Accepted(ballot=ballot))
            case msg.Install(plan=plan):
                self.say(number, msg.Installed(generation=plan.generation))
            case msg.Assign(generation=generation):
                rank = VICTIM - 1
                home = self.plan.agent_of(rank)
                if rank not in self.resumed:
                    self.say(home, msg.Ready(generation=generation, rank=rank, address="rank-new"))
            case msg.Committed():
                self.committed += 1
        if isinstance(message, msg.Resume):
            self.resumed |= set(range(reach.first, reach.stop)) if reach else {number}

    def _gathered(self, milestone: str, word: Any, reach: msg.Reach) -> msg.Gathered:
        is_first, is_seal = isinstance(word, msg.Install) and milestone == "ready", isinstance(word, msg.Seal)
        generation = word.plan.generation if isinstance(word, msg.Install) else word.generation
        generation -= isinstance(word, msg.Accept)  # it is voted for in the one before
        lost = VICTIM in reach.without or (self.size + 1) in reach.without
        held = msg.UsualLabel(label=BASE, differs=False, witnesses=((reach.first, 0),))
        return msg.Gathered(
            milestone=milestone, generation=generation, ballot=getattr(word, "ballot", Ballot(0, 0)), first=reach.first, stop=reach.stop,
            missing=(VICTIM - 1,) if lost and reach.first < VICTIM <= reach.stop else (), labels=(held,) if is_seal else None,
            positions=(1, 2) if is_seal else (),
            addresses=tuple((rank, f"rank-{rank}") for rank in range(reach.first, reach.stop)) if is_first else (),
        )  # fmt: skip

    # ---- a job's life ------------------------------------------------------------------------------------------------------

    def start(self) -> float:
        """From the engine's first word to the first resume (s)."""
        self.tell(msg.RegisterHolds(plan=None))
        for number in range(1, self.size + 2):
            self.tell(msg.AgentUp(agent=number, node=number - 1, address=self._address(number), pid=number))
            self._until_published("agent_started", number - IN_FLIGHT)
        self.tell(msg.NoMoreNodes())
        return self.until(lambda: len(self.resumed) >= self.size, "the start")

    def commit(self) -> float:
        """From the first `prepared` to the last `committed` (s)."""
        begun = time.monotonic()
        for rank in range(self.size):
            self.say(
                rank + 1,
                msg.Prepared(
                    label=BASE, rank=rank, digests=(), next_position=2 if rank == 0 else -1, ended_at=-1, coded_bytes=0, snapshot_bytes=0,
                    parity_bytes=0, costs=COSTS,
                ),
            )  # fmt: skip
            self.turn(0.0)
        self.until(lambda: self.committed >= self.size, "the commit")
        return time.monotonic() - begun

    def beat(self, seconds: float) -> tuple[float, float]:
        """How far the ranks are: from each agent, or in a large job from the heads of the tree for all below them. (messages a second,
        share of a core); the CPU is that of all these words, however late they are heard."""
        settings, parts = Settings(), [(first, first + 1) for first in range(self.size)]
        period_s = settings.heartbeat_s
        if self.size > settings.direct_agents_max:
            parts, period_s = split(0, self.size, settings.fan_out), settings.progress_s
        begun, cpu, said, heard, number = time.monotonic(), self.cpu_s(), self.said, self.published["progress"], 0
        while (now := time.monotonic() - begun) < seconds:
            while number < now * len(parts) / period_s:
                first, stop = parts[number % len(parts)]
                number += 1
                calls = tuple((rank, "comm.Recv") for rank in range(first, stop)[:CALLS_MAX])
                self.say(
                    first + 1,
                    msg.Progress(
                        generation=1, ranks=stop - first, superstep=1, frames=number, inside_s=0.0, in_comm=stop - first, elsewhere=0,
                        calls=calls,
                    ),
                )  # fmt: skip
                if number % 64 == 0 and time.monotonic() - begun > seconds:
                    break
            self.turn(0.001)
        took = time.monotonic() - begun
        self._until_published("progress", heard + number)
        return (self.said - said) / took, (self.cpu_s() - cpu) / took

    def lose(self) -> float:
        """From the engine's word that a node has ended to the last word of the resume (s)."""
        self.resumed.clear()
        begun = time.monotonic()
        self.tell(msg.AgentEnded(agent=VICTIM, how="was killed"))
        self.until(lambda: len(self.resumed) >= self.size, "the recovery")
        return time.monotonic() - begun


def main() -> None:
    """Prints one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args()
    wanted = 2 * chosen.agents + 100
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < wanted:
        raise SystemExit(f"{chosen.agents} agents need {wanted} open files, and this machine allows {most}: use fewer --agents")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    print(machine.describe([machine.busy_cores()]), flush=True)
    job = Job(chosen.agents)
    try:
        measure(job, chosen.seconds)
    finally:
        job.close()


def measure(job: Job, seconds: float) -> None:
    """Prints a line as soon as it is known."""
    print(f"start                {job.start() * 1e3:9.1f} ms, {job.size} agents", flush=True)
    print(f"one commit           {job.commit() * 1e3:9.1f} ms, {job.size} words each way", flush=True)
    rate, share = job.beat(seconds)
    print(
        f"steady state         {rate:9.0f} messages a second, {share:.2f} of a core, {share / rate * 1e6:.1f} microseconds of CPU each",
        flush=True,
    )
    cpu, said, heard = job.cpu_s(), job.said, job.heard
    took = job.lose()
    print(
        f"one failure          {took * 1e3:9.1f} ms, {job.heard - heard} messages told, {job.said - said} heard, "
        f"{(job.cpu_s() - cpu) * 1e3:.0f} ms of CPU (in steps of {1000 / TICKS_PER_S:.0f})"
    )


if __name__ == "__main__":
    main()
