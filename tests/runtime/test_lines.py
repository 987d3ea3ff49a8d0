"""A rank's output is made of whole lines."""

from __future__ import annotations

import contextlib
import io
import os

from perdure.runtime.lines import LONGEST, WholeLines


def taken(read: int) -> bytes:
    os.set_blocking(read, False)
    try:
        return os.read(read, 1 << 16)
    except BlockingIOError:
        return b""


def test_an_unfinished_line_waits_for_its_end_or_the_end() -> None:
    read, write = os.pipe()
    stream = io.TextIOWrapper(WholeLines(write, holds=True), line_buffering=True)  # type: ignore[type-var]
    print("a", "b", end="", file=stream, flush=True)
    assert taken(read) == b""
    print("c\nd", end="", file=stream, flush=True)
    assert taken(read) == b"a bc\n"
    stream.close()
    assert taken(read) == b"d\n"
    os.close(read)
    os.close(write)


def test_one_that_is_alone_shows_its_prompt() -> None:
    read, write = os.pipe()
    raw = WholeLines(write, holds=False)
    raw.write(b"name? ")
    raw.flush()
    assert taken(read) == b"name? "
    os.close(read)
    os.close(write)


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    with open(os.devnull, "wb") as null:
        raw = WholeLines(null.fileno(), holds=True)
        for _ in range(3):
            raw.write(b"x" * LONGEST)
        assert len(raw._held) <= LONGEST


def test_words_of_the_job_itself_are_dropped_while_nobody_reads() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write, bytes(4096)):
            pass
    os.set_blocking(write, True)
    raw = WholeLines(write, holds=False, drops=True)
    raw.write(b"dropped\n")
    raw.flush()
    assert not taken(read).strip(b"\0")
    raw.write(b"written\n")
    raw.flush()
    while not (found := taken(read).strip(b"\0")):
        pass
    assert found == b"written\n"
    os.close(read)
    os.close(write)
