"""The suite that every scheme of `perdure.streams` passes. A test class of your own inherits it and says how to make one:

    class TestMyScheme(StreamTests):
        scheme = MyScheme()

        def place(self):
            return "127.0.0.1:0"    # what follows the scheme's name in an address to listen at

`place` is called several times.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator

from perdure.streams import EndOfStream, Listener, Scheme, Stream, never
from perdure.testing.transports import DEADLINE_S, until

BIG = 9 << 20
"""Bytes; more than is ever in transit between two processes of one host."""


class StreamTests:
    """Each test says what breaks for a caller of streams if it fails."""

    scheme: Scheme

    def place(self) -> str:
        """Return where to listen; not used before."""
        raise NotImplementedError("override this method: return an address to listen at")

    # ---- tools --------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def listener(self) -> Iterator[tuple[Listener, str]]:
        """A listener, and what follows the scheme's name in its address."""
        listener = self.scheme.listen(self.place())
        try:
            yield listener, listener.address.partition(":")[2]
        finally:
            listener.close()

    @contextlib.contextmanager
    def pair(self) -> Iterator[tuple[Stream, Stream]]:
        """A stream, both ends in this process: the one that was dialled, and the one that was accepted."""
        with self.listener() as (listener, place):
            here = self.scheme.dial(place)
            there = accepted(listener)
            meet(here, there)
            try:
                yield here, there
            finally:
                here.close()
                there.close()

    # ---- what calls that never wait transfer --------------------------------------------------------------------------------

    def test_bytes_keep_their_order_in_both_directions(self) -> None:
        with self.pair() as (here, there):
            words = [os.urandom(size) for size in (1, 7, 4096, 65_537, 0, 3)]
            for sender, receiver in ((here, there), (there, here)):
                assert transfer(sender, receiver, words) == b"".join(words)

    def test_more_than_is_ever_in_transit_goes_through(self) -> None:
        with self.pair() as (here, there):
            data = os.urandom(BIG)
            assert transfer(here, there, [data]) == data

    def test_a_full_stream_takes_nothing_and_loses_nothing(self) -> None:
        with self.pair() as (here, there):
            data, total = memoryview(os.urandom(BIG)), 0
            while sent := here.try_send([data[total:]]):
                total += sent
            assert total < BIG
            assert transfer(here, there, [bytes(data[total:])], BIG) == data

    def test_an_empty_stream_has_nothing_and_does_not_wait(self) -> None:
        with self.pair() as (here, _):
            assert here.is_quiet()
            assert here.try_receive(memoryview(bytearray(8))) is None
            assert here.try_receive_bytes(8) is None
            parcel = here.try_receive_parcel(8)
            assert parcel is None
            assert here.pending() == 0

    def test_a_reader_that_looks_at_what_is_held_misses_nothing(self) -> None:
        """A reader that polls although the stream holds bytes back would wait for ever."""
        with self.pair() as (here, there):
            data = os.urandom(1000)
            here.send(data[:600], data[600:])
            received = b""
            while len(received) < len(data):
                if not there.pending():
                    assert is_readable(there, DEADLINE_S), f"{len(received)} bytes came, and then none"
                received += there.try_receive_bytes(7) or b""
            assert received == data
            assert there.pending() == 0
            assert here.reads_ahead == there.reads_ahead

    def test_something_that_can_be_received_is_seen(self) -> None:
        with self.pair() as (here, there):
            here.send(b"x")
            until(lambda: not there.is_quiet())
            assert there.receive_bytes(10) == b"x"
            assert there.is_quiet()

    # ---- what calls that wait transfer --------------------------------------------------------------------------------------

    def test_calls_that_wait_and_calls_that_do_not_take_turns(self) -> None:
        with self.pair() as (here, there):
            here.send(b"abc", memoryview(b"def"))
            first = memoryview(bytearray(4))
            there.receive_exactly(first)
            assert bytes(first) == b"abcd"
            assert transfer(here, there, [b"ghi"], 5) == b"efghi"
            here.send(b"jkl")
            assert there.receive_bytes(2) == b"jk"
            assert there.receive_bytes(2) == b"l"

    def test_a_waiting_receiver_is_woken(self) -> None:
        with self.pair() as (here, there):
            whole = memoryview(bytearray(10))
            thread = threading.Thread(target=there.receive_exactly, args=(whole,))
            thread.start()
            here.send(b"01234")
            here.send(b"56789")
            thread.join(DEADLINE_S)
            assert bytes(whole) == b"0123456789"

    def test_a_waiting_sender_is_woken(self) -> None:
        with self.pair() as (here, there):
            data, whole = os.urandom(BIG), memoryview(bytearray(BIG))
            thread = threading.Thread(target=here.send, args=(data,))
            thread.start()
            there.receive_exactly(whole)
            thread.join(DEADLINE_S)
            assert whole == data

    def test_a_peer_that_does_nothing_is_not_waited_for_longer_than_agreed(self) -> None:
        with self.pair() as (here, there):
            here.set_timeout(0.01)
            for wait in (
                lambda: here.receive_exactly(memoryview(bytearray(1))),
                lambda: here.receive_bytes(1),
                lambda: here.send(bytes(BIG)),
            ):
                assert raised(wait) is TimeoutError
            here.set_timeout(None)
            there.send(b"late")
            assert here.receive_bytes(4) == b"late"

    def test_a_timeout_is_none_for_calls_that_never_wait(self) -> None:
        with self.pair() as (here, _):
            here.set_timeout(10 * DEADLINE_S)
            assert here.try_receive_bytes(1) is None

    # ---- the beginning ------------------------------------------------------------------------------------------------------

    def test_what_is_sent_while_the_connection_is_under_way_arrives(self) -> None:
        with self.listener() as (listener, place):
            here = self.scheme.dial(place)
            sender = threading.Thread(target=here.send, args=(b"at once",))
            sender.start()
            there = accepted(listener)
            whole = memoryview(bytearray(7))
            there.receive_exactly(whole)
            sender.join(DEADLINE_S)
            assert bytes(whole) == b"at once"
            here.close()
            there.close()

    def test_a_connection_that_was_waited_for_is_there(self) -> None:
        with self.listener() as (listener, place):
            here = self.scheme.connect(place, never)
            there = accepted(listener)
            assert transfer(here, there, [b"x"]) == b"x"
            assert not here.awaits_peer()
            here.close()
            there.close()

    def test_nobody_is_refused(self) -> None:
        with self.listener() as (_, place):
            pass
        assert raised(lambda: self.scheme.connect(place, never).close())
        assert raised(lambda: self.scheme.dial(place).send(b"x"))

    def test_a_listener_with_nobody_to_accept_does_not_wait(self) -> None:
        with self.listener() as (listener, _):
            assert raised(listener.accept)

    def test_a_thread_that_polls_a_listener_is_woken_by_its_close(self) -> None:
        with self.listener() as (listener, _):
            poll = select.poll()
            poll.register(listener.fileno(), select.POLLIN)
            thread = threading.Thread(target=poll.poll)
            thread.start()
            listener.close()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
            assert listener.fileno() == -1

    # ---- the end ------------------------------------------------------------------------------------------------------------

    def test_what_was_sent_before_the_end_is_received_and_then_the_end(self) -> None:
        with self.pair() as (here, there):
            here.send(b"last words")
            assert not there.has_ended()
            here.close()
            assert here.fileno() == -1
            until(there.has_ended)
            assert transfer(None, there, [], 10) == b"last words"
            until(lambda: there.try_receive(memoryview(bytearray(1))) == 0)
            assert there.try_receive_bytes(1) == b""
            assert there.receive_bytes(1) == b""
            assert not there.is_quiet()
            assert raised(lambda: there.receive_exactly(memoryview(bytearray(1)))) is EndOfStream

    def test_an_end_in_the_middle_is_no_success(self) -> None:
        with self.pair() as (here, there):
            here.send(b"half")
            here.close()
            assert raised(lambda: there.receive_exactly(memoryview(bytearray(8)))) is EndOfStream

    def test_who_ends_sending_may_still_receive(self) -> None:
        with self.pair() as (here, there):
            here.send(b"question")
            here.end_sending()
            assert transfer(None, there, [], 8) == b"question"
            assert there.receive_bytes(1) == b""
            there.send(b"answer")
            assert transfer(None, here, [], 6) == b"answer"

    def test_a_waiting_thread_is_woken_when_its_stream_is_shut_down(self) -> None:
        with self.pair() as (here, _):
            found: list[object] = []
            thread = threading.Thread(target=lambda: found.append(raised(lambda: here.receive_exactly(memoryview(bytearray(1))))))
            thread.start()
            here.shut_down()
            thread.join(DEADLINE_S)
            assert found == [EndOfStream]
            here.shut_down()

    def test_a_sender_sees_that_the_peer_is_gone(self) -> None:
        with self.pair() as (here, there):
            there.close()
            until(lambda: raised(lambda: here.try_send([b"x"])) is not None)
            until(lambda: raised(lambda: here.send(b"x")) is not None)

    def test_the_end_of_a_killed_process_is_received(self) -> None:
        with self.listener() as (listener, place):
            pid = os.fork()
            if pid == 0:
                try:
                    self.scheme.dial(place).send(b"half of a message")
                finally:
                    os.kill(os.getpid(), 9)
            there = accepted(listener)
            assert transfer(None, there, [], 17) == b"half of a message"
            os.waitpid(pid, 0)
            until(lambda: there.try_receive_bytes(1) == b"")
            there.close()

    # ---- capabilities -------------------------------------------------------------------------------------------------------

    def test_files_are_passed_where_the_stream_says_so(self) -> None:
        with self.pair() as (here, there):
            if not here.passes_files:
                here.send(b"bytes")
                until(lambda: not there.is_quiet())
                parcel = there.try_receive_parcel(5)
                assert parcel is not None
                assert (parcel.data, parcel.fds, parcel.is_cut) == (b"bytes", [], False)
                return
            for receive in (there.receive_file, there.try_receive_parcel):
                fd = os.memfd_create("test")
                os.write(fd, b"inside")
                here.send_file(b"words", fd)
                os.close(fd)
                parcel = receive(5)
                assert parcel is not None
                assert parcel.data == b"words"
                (received,) = parcel.fds
                assert os.pread(received, 6, 0) == b"inside"
                os.close(received)

    def test_the_process_of_a_local_peer_is_known(self) -> None:
        with self.pair() as (here, there):
            for stream in (here, there):
                found = stream.credentials()
                assert found == (os.getpid(), os.getuid()) if stream.is_local else found is None
                assert stream.peer()

    def test_settings_change_nothing_of_what_arrives(self) -> None:
        with self.pair() as (here, there):
            for stream in (here, there):
                stream.set_bulk(1 << 20)
                stream.set_patience(1000)
            data = os.urandom(1 << 20)
            assert transfer(here, there, [data]) == data


def accepted(listener: Listener) -> Stream:
    """Return the next stream of a listener, with a deadline."""
    assert is_readable(listener, DEADLINE_S), "nobody came"
    return listener.accept()


def meet(here: Stream, there: Stream) -> None:
    """Send a byte each way: whatever both ends must agree on first, they have then."""
    transfer(here, there, [b"!"])
    transfer(there, here, [b"!"])


def transfer(sender: Stream | None, receiver: Stream, pieces: list[bytes], count: int | None = None) -> bytes:
    """Send the pieces, as far as there is room, while the other end receives `count` bytes; None: as many as are sent."""
    left = [memoryview(piece) for piece in pieces if piece]
    total = sum(map(len, pieces)) if count is None else count
    data, filled = memoryview(bytearray(total)), 0

    def more() -> bool:
        nonlocal filled, left
        sent = sender.try_send(left) if sender and left else 0
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]
        if filled < total:
            filled += receiver.try_receive(data[filled:]) or 0
        return filled == total and not left

    until(more)
    return bytes(data)


def is_readable(what: Stream | Listener, seconds: float) -> bool:
    """Return whether a poll of it ends within so many seconds."""
    poll = select.poll()
    poll.register(what.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1e3))


def raised(call: object) -> type[BaseException] | None:
    """Return the kind of OSError that a call raises; None: it returns."""
    assert callable(call)
    try:
        call()
    except OSError as error:
        return type(error)
    return None
