"""Workers are born on demand, and a prepared one takes the place that its slots are asked for."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from perdure.runtime import nursery
from perdure.runtime.nursery import NurseryClient
from perdure.runtime.posix import descendants
from perdure.streams.packets import packet_pair

prepared_with = -1


class Nursery:
    """A nursery in a process of its own. Its workers write a line to `heard` and wait until `let_go` is closed."""

    def __init__(self) -> None:
        ours, theirs = packet_pair()
        self.heard, told = os.pipe()
        waits, self.let_go = os.pipe()
        self.own_fd, others = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            ours.close()
            os.close(self.let_go)
            os.close(self.own_fd)
            nursery.serve(theirs, lambda *life: self._run(told, waits, *life), self._prepare, others)
            os._exit(0)
        theirs.close()
        for fd in (told, waits, others):
            os.close(fd)
        self.client = NurseryClient(ours, self.pid)

    @staticmethod
    def _prepare(live_bytes: int, fds: list[int]) -> None:
        global prepared_with
        prepared_with = live_bytes

    @staticmethod
    def _run(told: int, waits: int, rank: int, incarnation: int, fds: list[int]) -> None:
        os.write(told, f"{os.getpid()} {rank} {incarnation} {len(fds)} {prepared_with}\n".encode())
        os.read(waits, 1)

    def life(self) -> list[int]:
        """pid, rank, incarnation, file descriptors, bytes it was prepared with: of the next worker that runs."""
        return [int(word) for word in os.read(self.heard, 100).split()]

    def close(self) -> None:
        self.client.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def place() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def slots() -> list[int]:
    return [os.memfd_create("slot-0"), os.memfd_create("slot-1")]


def start(place: Nursery, rank: int, pair: list[int]) -> dict[str, object]:
    place.client.start(rank, 4, [os.memfd_create("connection"), os.memfd_create("page"), *pair])
    answer = place.client.receive()
    assert answer is not None
    return answer


def test_a_worker_is_born_with_its_files(place: Nursery) -> None:
    answer = start(place, 2, slots())
    assert answer == {"born": answer["born"], "rank": 2, "incarnation": 4}
    assert place.life() == [answer["born"], 2, 4, 4, -1]


def test_a_prepared_worker_gets_the_rank_whose_slots_it_has_mapped(place: Nursery) -> None:
    mine, others = slots(), slots()
    place.client.prepare(100, others)
    place.client.prepare(200, mine)
    assert start(place, 1, [os.dup(fd) for fd in mine])["rank"] == 1
    assert place.life()[1:] == [1, 4, 4, 200]
    assert start(place, 3, slots())["rank"] == 3
    assert place.life()[1:] == [3, 4, 4, -1], "slots that nobody was prepared for"
    assert start(place, 0, others)["rank"] == 0
    assert place.life()[1:] == [0, 4, 4, 100]


def test_nobody_is_prepared_for_slots_that_are_in_use(place: Nursery) -> None:
    pair = slots()
    first = start(place, 1, pair)["born"]
    assert place.life()[0] == first
    place.client.prepare(100, pair)
    start(place, 1, pair)
    assert place.life()[4] == -1


def test_the_end_of_a_worker_is_told_with_its_reason(place: Nursery) -> None:
    pair = slots()
    place.client.prepare(1, pair)
    start(place, 5, pair)
    os.kill(place.life()[0], signal.SIGKILL)
    answer = place.client.receive()
    assert answer is not None
    assert (answer["rank"], answer["incarnation"], answer["how"]) == (5, 4, "killed by SIGKILL")


def test_workers_do_not_hold_what_is_the_nurserys_own(place: Nursery) -> None:
    """The pulse: its end says that the node is ending, so a worker must not prolong it."""
    pair = slots()
    place.client.prepare(1, pair)
    for rank, files in enumerate([slots(), pair]):
        start(place, rank, files)
        worker = place.life()[0]
        held = {os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")}
        assert os.readlink(f"/proc/self/fd/{place.own_fd}") not in held


def test_everybody_ends_with_the_nursery(place: Nursery) -> None:
    place.client.prepare(1, slots())
    start(place, 0, slots())
    worker = os.pidfd_open(place.life()[0])
    os.kill(place.pid, signal.SIGKILL)
    assert place.client.receive() is None
    assert select.select([worker], [], [], 10)[0], "a worker outlived its nursery"


def test_a_prepared_worker_that_is_stopped_is_replaced_and_the_slots_stay_prepared(place: Nursery) -> None:
    pair = slots()
    place.client.prepare(5, pair)
    stopped = only_child(place)
    os.kill(stopped, signal.SIGSTOP)
    ended = os.pidfd_open(stopped)
    assert select.select([ended], [], [], 30)[0], "it stays"
    os.close(ended)
    while only_child(place) in (0, stopped):
        os.sched_yield()
    prepared = only_child(place)
    assert start(place, 1, pair)["born"] == prepared
    assert place.life() == [prepared, 1, 4, 4, 5]


def only_child(place: Nursery) -> int:
    """Of the nursery; 0 for a moment in which it has none."""
    deadline = time.monotonic() + 30
    while not (found := list(descendants(place.pid))):
        assert time.monotonic() < deadline, "no prepared worker"
    return found[0]


ORPHANED = """
import os, signal, sys
from perdure.runtime import nursery
from perdure.streams.packets import packet_pair
ours, theirs = packet_pair()
read, write = os.pipe()
if not os.fork():
    os.close(read)
    print(os.getpid(), flush=True)
    nursery.serve(theirs, lambda *life: signal.pause(), lambda *given: None, write)
    os._exit(0)
nursery.NurseryClient(ours, 0).start(0, 1, [os.memfd_create(str(n)) for n in range(4)])
print(ours.receive()[0].decode(), flush=True)
signal.pause()
"""
"""An agent with a nursery and a worker. It prints the nursery's process id, and its answer."""


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_nursery_whose_agent_is_killed_ends_all_even_if_it_is_stopped(is_stopped: bool) -> None:
    agent = subprocess.Popen([sys.executable, "-c", ORPHANED], stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    pid = int(agent.stdout.readline())
    worker = json.loads(agent.stdout.readline())["born"]
    pidfds = [os.pidfd_open(pid), os.pidfd_open(worker)]
    if is_stopped:
        os.kill(pid, signal.SIGSTOP)
    agent.kill()
    agent.wait()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 30)[0], "it lives on"
        os.close(pidfd)
    agent.stdout.close()
