"""The suite that every record of an engine passes. A test class of your own inherits it and says how to make one:

    class TestMyRecord(RecordTests):
        def make(self):
            return MyRecord(...)    # another object for the same store in each call of one test

A record is pickled for the processes of the suite, which import its class by its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Final

from perdure.engines import EngineRecord

PROPOSERS: Final = 8
KEYS: Final = 25
"""Keys for which all proposers compete."""
KILLS: Final = 5
"""Writers that are killed, each one at another value."""
VALUE_BYTES: Final = 4 << 20
"""Of the values of a writer that is killed: long enough that a reader would find it half written."""
DEADLINE_S: Final = 60.0
PROCESS: Final = """
import pickle, sys
record, prefix, number, count, nbytes = pickle.load(sys.stdin.buffer)
print("ready", flush=True)
sys.stdin.buffer.read(1)
for index in range(count):
    value = str(number).encode()
    key = prefix + str(index)
    print("creates", key, flush=True)
    print((record.create(key, value * (nbytes // len(value))) or b"nothing")[:100].decode(), flush=True)
"""
"""Creates keys in their order, with its number as the value, repeated to `nbytes`; prints what each key had before."""


class RecordTests:
    """Each test says what breaks for a job if it fails."""

    def make(self) -> EngineRecord:
        """Return a record. All that are made in one test are one store, which is empty at first."""
        raise NotImplementedError("say how a record is made")

    def test_the_first_create_wins_and_others_get_its_value(self) -> None:
        """Two plans of one generation would split the job."""
        record = self.make()
        assert record.create("job/1", b"first") is None
        assert self.make().create("job/1", b"second") == b"first"
        assert record.create("job/1", b"first") == b"first"
        assert record.read("job/1") == b"first"

    def test_one_of_eight_processes_wins_each_key(self) -> None:
        """Orchestrators that propose at the same time would each carry out a plan of their own."""
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(self._process("race/", number, KEYS)) for number in range(PROPOSERS)]
            for process in processes:
                _go(process)
            printed = [_stdout(process).read().decode().split("\n") for process in processes]
        for index in range(KEYS):
            answers = [lines[2 * index + 1] for lines in printed]
            (winner,) = [number for number, answer in enumerate(answers) if answer == "nothing"]
            assert {*answers} == {"nothing", str(winner)}
            assert self.make().read(f"race/{index}") == str(winner).encode()

    def test_a_key_without_a_value_is_none(self) -> None:
        assert self.make().read("job/1") is None

    def test_values_survive_the_process_that_wrote_them(self) -> None:
        """A supervisor that takes over would begin the job again."""
        with self._process("job/", 7, 3) as process:
            _go(process)
            _stdout(process).read()
        assert [self.make().read(key) for key in self.make().keys("job/")] == [b"7"] * 3

    def test_any_bytes_are_a_value(self) -> None:
        record = self.make()
        for key, value in {"empty": b"", "zeros": bytes(1000), "long": os.urandom(3 << 20), "lines": b"\r\n\x00\xff"}.items():
            assert record.create(key, value) is None
            assert self.make().read(key) == value
            assert record.create(key, b"another") == value

    def test_keys_are_listed_by_prefix_and_in_order(self) -> None:
        """The newest plan of a job is found by the names of its keys; those of other jobs are not its own."""
        record = self.make()
        keys = ["a", "a/1", "a/1/x", "a/10", "a/2", "a%2F1", "a+b", ".", "..", ".a", "a b", "aé", "A/1", "b/1"]
        for key in keys:
            assert record.create(key, key.encode()) is None
        assert list(self.make().keys("")) == sorted(keys)
        assert list(record.keys("a/")) == ["a/1", "a/1/x", "a/10", "a/2"]
        assert list(record.keys("a/1")) == ["a/1", "a/1/x", "a/10"]
        assert list(record.keys("c")) == []
        assert [record.read(key) for key in keys] == [key.encode() for key in keys]

    def test_what_is_forgotten_may_be_created_again_and_the_rest_stays(self) -> None:
        """A record that keeps ended jobs grows for ever; one that forgets others loses their plans."""
        record = self.make()
        for key in ("one/1", "one/2", "other/1"):
            record.create(key, b"before")
        self.make().forget("one/")
        record.forget("one/")
        assert list(record.keys("")) == ["other/1"]
        assert record.read("one/1") is None
        assert record.create("one/1", b"after") is None
        assert record.read("other/1") == b"before"

    def test_a_value_is_never_seen_in_part(self) -> None:
        """A writer is killed while it writes: an orchestrator that reads half a plan cannot go on, nor can another one be stored."""
        record = self.make()
        for number in range(1, KILLS + 1):
            prefix = f"torn/{number}/"
            whole = hashlib.sha256(str(number).encode() * VALUE_BYTES).digest()
            with self._process(prefix, number, 1000, VALUE_BYTES) as process:
                _go(process)
                last = self._watch(record, process, number, whole)
                process.kill()
                process.wait()
            for key in record.keys(prefix):
                assert _digest(record.read(key)) == whole
            before = record.create(last, b"another")
            assert before is None or _digest(before) == whole
            record.forget(prefix)

    def _watch(self, record: EngineRecord, process: subprocess.Popen[bytes], count: int, whole: bytes) -> str:
        """Read each key while a process writes it, until the process is about to write the last of `count` keys. Return that key."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            creates, key = _stdout(process).readline().decode().split()
            assert creates == "creates"
            count -= 1
            if count == 0:
                return key
            while (value := record.read(key)) is None:
                assert time.monotonic() < deadline, f"the process has not created {key} after {DEADLINE_S:g} s"
            assert _digest(value) == whole
            assert _stdout(process).readline() == b"nothing\n"

    @contextlib.contextmanager
    def _process(self, prefix: str, number: int, count: int, nbytes: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process that creates so many keys when one byte is sent to it. It is killed in the end, if it still runs."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen([sys.executable, "-P", "-c", PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        with process:
            try:
                _stdin(process).write(pickle.dumps((self.make(), prefix, number, count, nbytes)))
                _stdin(process).flush()
                assert _stdout(process).readline() == b"ready\n"
                yield process
            finally:
                process.kill()


def _digest(value: bytes | None) -> bytes:
    assert value is not None
    return hashlib.sha256(value).digest()


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _stdout(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _go(process: subprocess.Popen[bytes]) -> None:
    _stdin(process).write(b"!")
    _stdin(process).flush()
