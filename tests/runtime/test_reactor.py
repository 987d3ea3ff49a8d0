"""A reactor calls what it is to call, on its own thread, and nothing after its end."""

from __future__ import annotations

import threading
import time

from perdure.runtime.reactor import Reactor, ReactorThread
from perdure.streams.pairs import pair

DEADLINE_S = 10.0


def test_what_is_posted_is_called_in_order_by_the_reactors_thread() -> None:
    thread, called, is_done = ReactorThread("reactor"), list[tuple[int, str]](), threading.Event()
    for number in range(100):
        thread.reactor.post(lambda number=number: called.append((number, threading.current_thread().name)))
    thread.reactor.post(is_done.set)
    assert is_done.wait(DEADLINE_S)
    thread.close()
    assert called == [(number, "reactor") for number in range(100)]


def test_what_was_posted_before_the_close_is_called_and_nothing_later() -> None:
    thread, called = ReactorThread("reactor"), []
    thread.reactor.post(lambda: called.append("before"))
    thread.reactor.after(DEADLINE_S, lambda: called.append("timer"))
    thread.close()
    thread.reactor.post(lambda: called.append("after"))
    assert called == ["before"]


def test_a_reaction_may_unwatch_what_is_about_to_be_called() -> None:
    """Its descriptor may be closed by then, or another's."""
    reactor, called = Reactor(), []
    (one, one_far), (two, two_far) = pair(), pair()
    for this, other in ((one, two), (two, one)):
        reactor.watch(this, lambda this=this, other=other: (called.append(this), reactor.unwatch(other)))
    one_far.send(b"x")
    two_far.send(b"x")
    reactor.turn(time.monotonic())
    assert len(called) == 1
    reactor.close()
    for stream in (one, one_far, two, two_far):
        stream.close()


def test_a_timer_is_called_when_its_time_has_come() -> None:
    reactor, called = Reactor(), []
    reactor.after(0.01, lambda: called.append(time.monotonic()))
    began = time.monotonic()
    while not called:
        reactor.turn(began + DEADLINE_S)
    assert called[0] - began >= 0.01
    reactor.close()
