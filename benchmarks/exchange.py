"""What do a commit and a rebuild move a second, against a raw ring of sockets and against memcpy? Ratios of medians in one run.

    python benchmarks/exchange.py [--mib 64] [--ranks 4] [--parity 1 2] [--turns 5] [--over unix] [--json]

Each rank is a process with a vault and links of its own; no agent, no core, no program. A turn is, one after the other: memcpy of the
state on all ranks at once, a ring in which every rank sends its state to the next over a socket, the second commit of a generation, and
a rebuild of rank 0 on a spare. `links` moves everything over sockets of the same kind, as between machines; `mapped` reads chunks of the
same machine in place, which is done over Unix sockets only. GB/s are of state: bytes of one rank's state over the time until the last
rank is done.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import select
import statistics
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from perdure.coding import kernels
from perdure.core import commands as do
from perdure.core import events as ev
from perdure.core.ids import Label
from perdure.core.layout import Geometry
from perdure.core.messages import DecodeTask, RestoreSource
from perdure.core.plan import Placement, Plan
from perdure.core.snapshot_index import SnapshotIndex
from perdure.runtime import exchange, rank_restore
from perdure.runtime.admission import HELLO, Admission
from perdure.runtime.links import Links
from perdure.runtime.tasks import Task
from perdure.runtime.vault import Vault
from perdure.streams import Listener, Stream, connect, listen
from perdure.streams.addresses import tcp_address, unix_address

PORTS = range(20_000, 30_000)
"""Below those that the kernel gives out by itself. A port that was left is not free for a minute: each group of ranks has another one."""


class Rank:
    """One process: does what it is told over a pipe, and answers when it is done."""

    def __init__(self, me: int, ranks: int, m: int, nbytes: int, job: str, port: int, *, maps_peers: bool) -> None:
        self.me, self.n, self.nbytes, self.job, self.port = me, ranks, nbytes, job, port
        self.geometry = Geometry(ranks, m)
        self.vault = Vault()
        self.links = Links(self.vault, lambda rank: self.geometry, self._stored, Admission(bytes(32)), maps_peers=maps_peers)
        self.heard = threading.Condition()
        self.stored = 0
        self.state = np.random.default_rng(me).integers(0, 256, nbytes, np.uint8)
        self.copy = np.full(nbytes, 1, np.uint8)
        self.offers = tuple(
            SnapshotIndex(rank=rank, items=(), coded_bytes=nbytes, replicated_bytes=0, next_position=-1, ended_at=-1)
            for rank in range(ranks)
        )
        self.plan = self._plan(0, list(range(ranks)))
        self.listener, self.ring_listener = listen(self._address(me)), listen(self._address(me, "ring"))
        threading.Thread(target=self._accept, daemon=True).start()
        kernels.warm(m)

    def _address(self, agent: int, what: str = "agent") -> str:
        """Over TCP every listener has an address of its own of the loopback network, and all have the same port."""
        if self.port:
            return tcp_address(f"127.0.{1 + (what == 'ring')}.{agent + 1}", self.port)
        return unix_address(f"{self.job}-{what}-{agent}")

    def _plan(self, generation: int, agents: list[int]) -> Plan:
        addresses = tuple((agent, self._address(agent)) for agent in sorted(set(agents)))
        places = tuple(Placement(rank=rank, agent=agent, node=agent, incarnation=1) for rank, agent in enumerate(agents))
        groups = (tuple(range(self.n)),)
        return Plan(
            generation=generation,
            placements=places,
            groups=groups,
            parity=self.geometry.m,
            base=None,
            positions=(0, 1),
            addresses=addresses,
        )

    def _stored(self, rank: int, label: Label, position: int) -> None:
        with self.heard:
            self.stored += 1
            self.heard.notify_all()

    def _accept(self) -> None:
        while True:
            stream, hello = accepted(self.listener), bytearray(HELLO.size)
            stream.receive_exactly(memoryview(hello))
            _, _, generation = HELLO.unpack(hello)
            self.links.run(generation, lambda stream=stream, generation=generation: self.links.serve(stream, generation), "serve")

    def _wait(self, count: int) -> None:
        with self.heard:
            self.heard.wait_for(lambda: self.stored >= count)

    def _task(self) -> Task:
        return Task(self.links, self.vault, self.plan, self.me)

    def install(self, generation: int, agents: list[int]) -> None:
        """A new generation, so that every rebuild has links of its own."""
        self.links.shut(self.plan.generation)
        self.links.wait_quiet(self.plan.generation)
        self.plan = self._plan(generation, agents)
        self.links.open(generation)
        self.stored = 0

    def memcpy(self) -> None:
        """The state, once."""
        np.copyto(self.copy, self.state)

    def ring(self) -> None:
        """The state to the next rank over a socket, that of the one before into touched memory."""
        self.say("listening")
        self.hear()
        out = connect(self._address((self.me + 1) % self.n, "ring"))
        into = accepted(self.ring_listener)
        sender = threading.Thread(target=lambda: out.send(self.state.data))
        sender.start()
        view = memoryview(self.copy)
        for start in range(0, len(view), 1 << 20):
            into.receive_exactly(view[start : start + (1 << 20)])
        sender.join()
        out.close()
        into.close()

    def snap(self, label: Label, index: int) -> None:
        """The state is in the slot and everybody's sizes are known; not timed."""
        self.vault.forget(self.me, Label(label.generation, label.superstep - 1))
        self.vault.bind(self.me, label, index)
        self.vault.slot(self.me, label, self.nbytes)[: self.nbytes] = self.state
        self.vault.expose(self.me, label, self.offers[self.me])
        self.vault.with_offers(self.me, label, self.offers, self.me, self.geometry)
        self.stored = 0

    def commit(self, label: Label) -> None:
        """Until all of this rank's parity is here."""
        task = self._task()
        exchange.protect(task, do.Protect(rank=self.me, label=label, member_offers=self.offers))
        self._wait(self.geometry.m)
        task.close()

    def rebuild(self, label: Label) -> None:
        """The spare takes rank 0's place; the others decode."""
        task = self._task()
        if self.me == self.n:
            source = RestoreSource(rank=0, offers_from=1, replicated_from_rank=1)
            self.vault.bind(0, label, 0)

            def ignore(event: ev.AgentEvent) -> None:
                """Nobody counts here."""

            rank_restore.restore(task, do.Restore(rank=0, label=label, index=0, source=source), ignore)
            self._wait(self.n)
        else:
            for work in self._decode_tasks(label):
                exchange.decode(task, work)
        task.close()

    def _decode_tasks(self, label: Label) -> list[DecodeTask]:
        tasks = []
        for stripe in range(self.n):
            if 1 + stripe % (self.n - 1) != self.me:
                continue
            at = {self.geometry.position(stripe, rank): rank for rank in range(self.n)}
            present = sorted((position for position in at if at[position]), key=lambda p: (at[p] != self.me, p))[: self.geometry.d]
            wanted = tuple((position, 0) for position in at if at[position] == 0)
            sources = tuple((position, at[position]) for position in sorted(present))
            tasks.append(DecodeTask(label=label, group=0, stripe=stripe, sources=sources, wanted=wanted, urgent=True))
        return tasks

    # ---- the pipe ---------------------------------------------------------------------------------------------------------

    def serve(self, pipe: Connection) -> None:
        """Until told to end."""
        self.say, self.hear = pipe.send, pipe.recv
        while True:
            name, arguments = self.hear()
            if name == "end":
                return
            result = getattr(self, name)(*arguments) if hasattr(type(self), name) else None
            self.say(("done", result, time.monotonic()))

    def sent(self) -> tuple[int, int]:
        """Bytes of chunks that this rank has sent so far."""
        return self.links.sent.parity, self.links.sent.rebuild

    def cpu(self) -> float:
        """CPU seconds of this process so far."""
        return time.process_time()


def accepted(listener: Listener) -> Stream:
    """The next stream; waits for it."""
    select.select([listener], [], [])
    return listener.accept()


def process(pipe: Connection, arguments: tuple[Any, ...], maps_peers: bool) -> None:
    """The life of one rank."""
    rank = Rank(*arguments, maps_peers=maps_peers)
    pipe.send("up")
    rank.serve(pipe)


class Ranks:
    """All processes, from outside."""

    def __init__(self, ranks: int, m: int, nbytes: int, *, maps_peers: bool, over: str) -> None:
        context = mp.get_context("spawn")
        port = PORTS[(os.getpid() + m * len(PORTS) // 4) % len(PORTS)] if over == "tcp" else 0
        job = f"bench-{os.getpid()}-{m}-{maps_peers:d}"
        self._pipes, self._processes = [], []
        for me in range(ranks + 1):
            ours, theirs = context.Pipe()
            started = context.Process(target=process, args=(theirs, (me, ranks, m, nbytes, job, port), maps_peers), daemon=True)
            started.start()
            self._pipes.append(ours)
            self._processes.append(started)
        for pipe in self._pipes:
            pipe.recv()
        self._n = ranks

    def each(self, name: str, *arguments: object, spare: bool = False, ring: bool = False) -> float:
        """All ranks (and the spare) do it; seconds until the last one has."""
        pipes = self._pipes if spare else self._pipes[: self._n]
        started = time.monotonic()
        for pipe in pipes:
            pipe.send((name, arguments))
        if ring:
            for pipe in pipes:
                pipe.recv()
            started = time.monotonic()
            for pipe in pipes:
                pipe.send("go")
        answers = [pipe.recv() for pipe in pipes]
        self.results = [answer[1] for answer in answers]
        return max(answer[2] for answer in answers) - started

    def end(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.send(("end", ()))
        for each in self._processes:
            each.join()


def measure(ranks: int, m: int, nbytes: int, turns: int, *, maps_peers: bool, over: str) -> dict[str, object]:
    """Medians for one code and one way; the first turn, which touches the memory, does not count."""
    group = Ranks(ranks, m, nbytes, maps_peers=maps_peers, over=over)
    times: dict[str, list[float]] = {name: [] for name in ("memcpy", "ring", "commit", "commit_cpu", "rebuild")}
    sent = 0
    homes, moved = list(range(ranks)), [ranks, *range(1, ranks)]
    for turn in range(turns + 1):
        generation = 2 * turn + 1
        first, label = Label(generation, 0), Label(generation, 1)
        group.each("install", generation, homes, spare=True)
        group.each("snap", first, 0)
        group.each("commit", first)
        group.each("snap", label, 0)
        one = {"memcpy": group.each("memcpy"), "ring": group.each("ring", ring=True)}
        before = _sum(group, "cpu"), _sum(group, "sent")
        one["commit"] = group.each("commit", label)
        one["commit_cpu"] = _sum(group, "cpu") - before[0]
        sent = _sum(group, "sent") - before[1]
        group.each("install", generation + 1, moved, spare=True)
        one["rebuild"] = group.each("rebuild", label, spare=True)
        if turn:
            for name, value in one.items():
                times[name].append(value)
    group.end()
    median = {name: statistics.median(values) for name, values in times.items()}
    gb = {name: nbytes / median[name] / 1e9 for name in ("memcpy", "ring", "commit", "rebuild")}
    return {
        "ranks": ranks, "parity": m, "mib": nbytes >> 20, "way": "mapped" if maps_peers else "links", "over": over, "gb_s": gb,
        "commit_to_ring": gb["commit"] / gb["ring"], "commit_bytes_to_ring": gb["commit"] / gb["ring"] * sent / (ranks * nbytes),
        "commit_to_memcpy": gb["commit"] / gb["memcpy"], "rebuild_to_ring": gb["rebuild"] / gb["ring"],
        "commit_core_s_per_gb": median["commit_cpu"] / (ranks * nbytes / 1e9), "kernel": kernels.warm(m),
    }  # fmt: skip


def _sum(group: Ranks, name: str) -> Any:
    group.each(name)
    return sum(result[0] if isinstance(result, tuple) else result for result in group.results)


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=64, help="MiB of state a rank")
    options.add_argument("--ranks", type=int, default=4)
    options.add_argument("--parity", type=int, nargs="+", default=[1, 2])
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--over", choices=("unix", "tcp"), default="unix", help="what the ring and the links are")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    ways = (False, True) if given.over == "unix" else (False,)
    rows = [
        measure(given.ranks, m, given.mib << 20, given.turns, maps_peers=maps_peers, over=given.over)
        for m in given.parity
        for maps_peers in ways
    ]
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        gb = row["gb_s"]
        print(
            f"{row['ranks']} x {row['mib']} MiB, m = {row['parity']}, {row['way']:6}  "
            f"commit {gb['commit']:.2f} GB/s a rank = {row['commit_to_ring']:.2f} x ring ({gb['ring']:.2f}; "
            f"{row['commit_bytes_to_ring']:.2f} a byte sent) = {row['commit_to_memcpy']:.2f} x memcpy ({gb['memcpy']:.1f}); "
            f"rebuild {gb['rebuild']:.2f} = {row['rebuild_to_ring']:.2f} x ring; {row['commit_core_s_per_gb']:.2f} core-s/GB"
        )


if __name__ == "__main__":
    main()
