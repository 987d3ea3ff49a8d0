"""The suite that every transport passes. A test class of your own inherits it and says how to make one:

    class TestMyTransport(TransportTests):
        def make(self, name):
            return MyTransport(name)

`make` is called several times; names are unique on the machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator

from perdure.comm.transports import LinkRefused, OneWayStream, Transport

DEADLINE_S = 20.0
GREETING = b"sixteen bytes..."
Pair = tuple[OneWayStream, OneWayStream]
"""The sending end, and the receiving end."""


class TransportTests:
    """Each test says what breaks for a rank if it fails."""

    def make(self, name: str) -> Transport:
        """A transport with this name."""
        raise NotImplementedError("override this method: return a transport with this name")

    # ---- tools --------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transports(self, count: int = 2) -> Iterator[list[Transport]]:
        """Several, closed at the end."""
        made = [self.make(f"perdure-test-{os.getpid()}-{os.urandom(6).hex()}") for _ in range(count)]
        try:
            yield made
        finally:
            for transport in made:
                transport.close()

    @contextlib.contextmanager
    def pair(self) -> Iterator[Pair]:
        """A stream, both ends in this process."""
        with self.transports() as (here, there):
            sender, receiver = connected(here, there)
            try:
                yield sender, receiver
            finally:
                sender.close()
                receiver.close()

    # ---- tests --------------------------------------------------------------------------------------------------------------

    def test_a_greeting_arrives_before_everything_else(self) -> None:
        with self.transports() as (here, there):
            sender = here.dial(there.address, GREETING)
            sender.send([b"and then this"])
            link = there.accept(len(GREETING))
            assert link is not None
            greeting, receiver = link
            assert greeting == GREETING
            assert receive(receiver, 13) == b"and then this"
            sender.close()
            receiver.close()

    def test_bytes_keep_their_order_whatever_their_pieces(self) -> None:
        with self.pair() as (sender, receiver):
            words = [os.urandom(size) for size in (1, 0, 7, 4096, 65_537, 3)]
            sent = exchange(sender, receiver, words, sum(map(len, words)))
            assert sent == b"".join(words)

    def test_more_than_is_ever_in_flight_goes_through(self) -> None:
        with self.pair() as (sender, receiver):
            data = os.urandom(9 << 20)
            assert exchange(sender, receiver, [data], len(data)) == data

    def test_a_full_stream_takes_nothing_and_does_not_block(self) -> None:
        with self.pair() as (sender, receiver):
            block, total = bytes(1 << 20), 0
            while sent := sender.send([block]):
                total += sent
            assert receive(receiver, total) == bytes(total)

    def test_an_empty_stream_has_nothing_and_does_not_block(self) -> None:
        with self.pair() as (_, receiver):
            assert receiver.recv_into(memoryview(bytearray(8))) is None

    def test_a_polling_receiver_is_woken_by_a_send(self) -> None:
        with self.pair() as (sender, receiver):
            thread = threading.Thread(target=lambda: sender.send([b"wake"]))
            receiver.arm(armed=True)
            thread.start()
            until(lambda: bool(select.select([receiver.fd], [], [], DEADLINE_S)[0]))
            receiver.arm(armed=False)
            assert receiver.hear()
            assert receive(receiver, 4) == b"wake"
            thread.join()

    def test_what_was_sent_before_the_end_is_read_and_then_the_end(self) -> None:
        with self.pair() as (sender, receiver):
            sender.send([b"last words"])
            sender.close()
            assert receive(receiver, 10) == b"last words"
            until(lambda: ended(receiver))

    def test_a_sender_hears_that_the_receiver_is_gone(self) -> None:
        with self.pair() as (sender, receiver):
            receiver.close()
            until(lambda: refuses(sender))

    def test_a_process_that_is_killed_in_the_middle_is_noticed(self) -> None:
        with self.transports() as (here, there):
            if here.address.startswith("threads:"):
                return  # its ranks live and die together
            pid = os.fork()
            if pid == 0:
                stream = here.dial(there.address, GREETING)
                stream.send([b"half of a message"])
                os.kill(os.getpid(), 9)
            link = there.accept(len(GREETING))
            assert link is not None
            os.waitpid(pid, 0)
            assert receive(link[1], 17) == b"half of a message"
            until(lambda: ended(link[1]))
            link[1].close()

    def test_memory_is_read_directly_or_refused_but_never_wrong(self) -> None:
        from perdure.comm.transports.direct import address_of

        with self.pair() as (sender, receiver):
            data = memoryview(bytearray(os.urandom(100_000)))
            target = memoryview(bytearray(100_000))
            if sender.direct and receiver.read_directly(address_of(data), target):
                assert target == data

    def test_a_dial_of_nobody_is_refused(self) -> None:
        with self.transports() as (here, there):
            address = there.address
            there.close()
            try:
                here.dial(address, GREETING)
            except LinkRefused:
                return
            raise AssertionError("a closed transport was reached")

    def test_closing_wakes_the_accepting_thread(self) -> None:
        with self.transports(1) as (here,):
            answers: list[object] = []
            thread = threading.Thread(target=lambda: answers.append(here.accept(len(GREETING))))
            thread.start()
            here.close()
            thread.join(DEADLINE_S)
            assert answers == [None]

    def test_a_half_greeting_is_nobodys(self) -> None:
        with self.transports() as (here, there):
            here.dial(there.address, GREETING[:3]).close()
            sender, receiver = connected(here, there)
            sender.send([b"x"])
            assert receive(receiver, 1) == b"x"
            sender.close()
            receiver.close()


def connected(here: Transport, there: Transport) -> Pair:
    """A stream from one to the other."""
    sender = here.dial(there.address, GREETING)
    link = there.accept(len(GREETING))
    assert link is not None
    return sender, link[1]


def receive(receiver: OneWayStream, count: int) -> bytes:
    """So many bytes, with a deadline."""
    return exchange(None, receiver, [], count)


def exchange(sender: OneWayStream | None, receiver: OneWayStream, pieces: list[bytes], count: int) -> bytes:
    """Sends the pieces while the other end is read."""
    left = [memoryview(piece) for piece in pieces if piece]
    data, filled = memoryview(bytearray(count)), 0

    def more() -> bool:
        nonlocal filled, left
        sent = sender.send(left) if sender and left else 0
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]
        got = receiver.recv_into(data[filled:]) if filled < count else None
        filled += got or 0
        receiver.settle()
        return filled == count

    until(more)
    return bytes(data)


def ended(receiver: OneWayStream) -> bool:
    """Has the receiver seen the end?"""
    return receiver.recv_into(memoryview(bytearray(1))) == 0 or (readable(receiver) and not receiver.hear())


def refuses(sender: OneWayStream) -> bool:
    """Has the sender seen that nobody reads?"""
    try:
        sender.send([b"x"])
    except OSError:
        return True
    return sender.in_memory and readable(sender) and not sender.hear()


def readable(stream: OneWayStream) -> bool:
    """Would a poll of it return?"""
    return bool(select.select([stream.fd], [], [], 0)[0])


def until(condition: Callable[[], bool]) -> None:
    """Waits for it. AssertionError: it does not come in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met before the deadline"
