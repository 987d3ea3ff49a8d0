"""The suite that every engine passes. A test class of your own inherits it and says how to make one:

    class TestMyEngine(EngineTests):
        def make(self):
            return MyEngine(...)    # with three nodes or more

`make` is called several times. On nodes, `perdure.engines.probe` runs in place of an agent, and in one test a job.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import perdure
from perdure.engines import (
    Engine,
    EngineEvent,
    NodeEnded,
    NodeGranted,
    NodeId,
    NodeRequest,
    NodeStarted,
    RequestPending,
    RequestRefused,
    probe,
)
from perdure.runtime.control_stream import ControlStream
from perdure.streams import SCHEMES

DEADLINE_S: Final = 30.0
"""For one answer of an engine."""
PROBE: Final = (probe.__name__,)
SUPERSTEPS: Final = 12
E = TypeVar("E")


class OpenEngine:
    """An engine that is open, and what it has posted."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[EngineEvent] = []
        """All that were posted and looked at, in order."""
        self.posted: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        self.streams: list[ControlStream] = []
        self._numbers = 0
        engine.open(os.urandom(16).hex(), PROBE, self.posted.put)

    def wait(self, kind: type[E], is_meant: Callable[[E], bool]) -> E:
        """Return the first event of a kind that is meant, also of those that came before; others are kept in `events`."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for event in self.events:
                if isinstance(event, kind) and is_meant(event):
                    return event
            try:
                self.events.append(self.posted.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {kind.__name__} after {DEADLINE_S:g} s; there were {self.events}") from None

    def all_of(self, kind: type[E]) -> list[E]:
        """Return the events of a kind that were posted until now."""
        while not self.posted.empty():
            self.events.append(self.posted.get())
        return [event for event in self.events if isinstance(event, kind)]

    def granted(self, replaces: NodeId | None = None) -> NodeId:
        """Request a node, and return it."""
        self._numbers += 1
        number = self._numbers
        self.engine.request(NodeRequest(number=number, replaces=replaces))
        return self.wait(NodeGranted, lambda event: event.request == number).node

    def started(self, node: NodeId, config: bytes = b"") -> ControlStream:
        """Start a node that was granted, and return the stream to it."""
        self.engine.start(node, config)
        self.streams.append(ControlStream(self.wait(NodeStarted, lambda event: event.node == node).control))
        return self.streams[-1]

    def ended(self, node: NodeId) -> NodeEnded:
        """Wait until the end of a node is reported."""
        return self.wait(NodeEnded, lambda event: event.node == node)

    def close(self) -> None:
        """Close the engine, and then all streams."""
        self.engine.close()
        for event in self.all_of(NodeStarted):
            event.control.close()


def lines_of(stream: ControlStream, count: int | None = None) -> list[bytes]:
    """Return the next lines of the probe, so many, or all until the end of the stream; without messages of what carries the stream."""
    deadline = time.monotonic() + DEADLINE_S
    found: list[bytes] = []
    while count is None or len(found) < count:
        assert select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0], f"nothing after {DEADLINE_S:g} s but {found}"
        lines = stream.receive()
        if lines is None:
            break
        found += [line for line in lines if not line.startswith(b"{")]
    return found


def ring(job: perdure.Job) -> list[float]:
    """A program: each rank adds a half of what its neighbour holds, again and again."""
    values = job.sharded("values", (100 * job.size,), init=lambda index: float(job.rank + 1))
    for _ in job.supersteps(SUPERSTEPS, commit_every=2):
        values += 0.5 * job.comm.sendrecv(values.copy(), dest=(job.rank + 1) % job.size, source=(job.rank - 1) % job.size)
    return [float(part) for part in job.comm.allgather(float(values.sum()))]


class EngineTests:
    """Each test says what breaks for a job if it fails."""

    def make(self) -> Engine:
        """Return an engine with three nodes or more, which is not open."""
        raise NotImplementedError("say how an engine is made")

    def run_ring(self, *faults: str) -> tuple[Any, int]:
        """Run `ring` on two ranks and a spare, with faults. Return its result, and how many generations there were."""
        report = perdure.run(ring, engine=self.make(), ranks=2, spares=1, faults=faults)
        return report.result, report.generations

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenEngine]:
        """An engine that is open, with the probe as its entry point."""
        opened = OpenEngine(self.make())
        try:
            yield opened
        finally:
            opened.close()

    # ---- requests -----------------------------------------------------------------------------------------------------------

    def test_each_request_gets_a_node_of_its_own(self) -> None:
        with self.opened() as opened:
            nodes = [opened.granted() for _ in range(3)]
            assert len({*nodes}) == 3
            assert all(event.listen.partition(":")[0] in SCHEMES for event in opened.all_of(NodeGranted))

    def test_a_request_that_is_repeated_is_one_request(self) -> None:
        """It is repeated when the engine was unavailable: a second node for it would be lost to everybody."""
        with self.opened() as opened:
            node = opened.granted()
            opened.engine.request(NodeRequest(number=1))
            opened.granted()
            assert [event.node for event in opened.all_of(NodeGranted) if event.request == 1] == [node]

    def test_a_request_for_more_nodes_than_there_are_is_refused_or_waits(self) -> None:
        """A job whose request is never answered would take the engine for lost."""
        nodes_max = self.make().capabilities.nodes_max
        if nodes_max is None:
            return
        with self.opened() as opened:
            for _ in range(nodes_max):
                opened.granted()
            opened.engine.request(NodeRequest(number=nodes_max + 1))
            deadline = time.monotonic() + DEADLINE_S
            answered: list[int] = []
            while nodes_max + 1 not in answered:
                answered = [event.request for event in opened.all_of(RequestRefused)]
                answered += [event.request for event in opened.all_of(RequestPending)]
                assert time.monotonic() < deadline, "neither refused nor pending"

    def test_a_node_that_comes_back_has_another_id(self) -> None:
        """What is reported of the old one late would end the new one."""
        with self.opened() as opened:
            node = opened.granted()
            opened.started(node)
            opened.engine.end(node)
            opened.ended(node)
            opened.engine.release(node)
            again = opened.granted(replaces=node)
            assert again != node
            assert ask(opened.started(again), probe.ECHO + b" back") == b"back"

    def test_calls_for_what_is_not_there_do_nothing(self) -> None:
        """The supervisor repeats calls, and may be late."""
        with self.opened() as opened:
            node = NodeId("never granted")
            opened.engine.cancel(77)
            opened.engine.end(node)
            opened.engine.release(node)
            opened.engine.start(node, b"")
            released = opened.granted()
            opened.engine.release(released)
            opened.engine.release(released)
            opened.engine.start(released, b"")
            assert ask(opened.started(opened.granted()), probe.ECHO + b" on") == b"on"
            assert len(opened.all_of(NodeStarted)) == 1

    # ---- a node and its stream ----------------------------------------------------------------------------------------------

    def test_a_node_receives_its_configuration_whole(self) -> None:
        """A program that travels by value may be large."""
        config = os.urandom(3 << 20)
        with self.opened() as opened:
            assert ask(opened.started(opened.granted(), config), probe.DIGEST) == probe.digest_of(config)

    def test_messages_go_both_ways_whole_and_in_order(self) -> None:
        words = [os.urandom(size).hex().encode() for size in (1, 500, 300_000, 7)]
        with self.opened() as opened:
            control = opened.started(opened.granted())
            for word in words:
                control.pass_on(probe.ECHO + b" " + word + b"\n")
            assert lines_of(control, len(words)) == words

    def test_a_start_that_is_repeated_is_one_start(self) -> None:
        with self.opened() as opened:
            node = opened.granted()
            control = opened.started(node)
            opened.engine.start(node, b"")
            assert ask(control, probe.ECHO + b" one") == b"one"
            opened.engine.end(node)
            opened.ended(node)
            assert len(opened.all_of(NodeStarted)) == 1

    # ---- ends ---------------------------------------------------------------------------------------------------------------

    def test_a_node_that_exits_is_reported_once_and_its_last_message_is_received(self) -> None:
        """The message may be why it has ended."""
        with self.opened() as opened:
            node = opened.granted()
            control = opened.started(node)
            control.pass_on(probe.ECHO + b" last\n" + probe.EXIT + b" 3\n")
            assert opened.ended(node).how
            assert lines_of(control) == [b"last"]
            opened.engine.end(node)
            opened.engine.release(node)
            opened.started(opened.granted())
            assert len(opened.all_of(NodeEnded)) == 1

    def test_a_node_that_is_ended_is_reported_once(self) -> None:
        with self.opened() as opened:
            node, other = opened.granted(), opened.granted()
            opened.started(node)
            beside = opened.started(other)
            opened.engine.end(node)
            opened.engine.end(node)
            opened.ended(node)
            opened.engine.end(node)
            assert ask(beside, probe.ECHO + b" here") == b"here"
            assert [event.node for event in opened.all_of(NodeEnded)] == [node]

    def test_a_node_that_is_released_ends(self) -> None:
        with self.opened() as opened:
            node = opened.granted()
            control = opened.started(node)
            opened.engine.release(node)
            assert lines_of(control) == []

    def test_the_end_of_its_stream_ends_a_node(self) -> None:
        """T7: nothing is left of a job whose supervisor is killed."""
        with self.opened() as opened:
            node = opened.granted()
            opened.started(node).end_sending()
            opened.ended(node)

    def test_nothing_is_left_after_the_close(self) -> None:
        opened = OpenEngine(self.make())
        controls = [opened.started(opened.granted()) for _ in range(2)]
        opened.engine.close()
        assert [lines_of(control) for control in controls] == [[], []]
        opened.close()

    def test_an_engine_serves_one_job_after_another(self) -> None:
        engine = self.make()
        for word in (b"first", b"second"):
            opened = OpenEngine(engine)
            assert ask(opened.started(opened.granted()), probe.ECHO + b" " + word) == word
            opened.close()

    # ---- the record ---------------------------------------------------------------------------------------------------------

    def test_a_record_is_one_store_for_all_that_ask_for_it(self) -> None:
        """The next supervisor of a job would not find its plans. `RecordTests` has the tests of the record itself."""
        with self.opened() as opened:
            record, again = opened.engine.record(), opened.engine.record()
            if record is None:
                assert again is None
                return
            assert again is not None
            prefix = os.urandom(16).hex() + "/"
            assert record.create(prefix + "key", b"first") is None
            assert again.read(prefix + "key") == b"first"
            again.forget(prefix)
            assert list(record.keys(prefix)) == []

    # ---- a job --------------------------------------------------------------------------------------------------------------

    def test_a_job_recovers_from_the_loss_of_a_node(self) -> None:
        undisturbed, generations = self.run_ring()
        assert generations == 1
        assert self.run_ring("kill:node=1,superstep=7") == (undisturbed, 2)


def ask(control: ControlStream, order: bytes) -> bytes:
    """Send an order to a probe, and return its answer."""
    control.pass_on(order + b"\n")
    (answer,) = lines_of(control, 1)
    return answer
