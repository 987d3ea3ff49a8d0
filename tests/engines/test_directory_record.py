"""A record in a folder is a record."""

from __future__ import annotations

import pathlib
import threading

import pytest

from perdure.engines.directory_record import DirectoryRecord
from perdure.testing import RecordTests


class TestDirectoryRecord(RecordTests):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: pathlib.Path) -> None:
        self._path = tmp_path / "folder" / "record"

    def make(self) -> DirectoryRecord:
        return DirectoryRecord(self._path)


class TornRecord(DirectoryRecord):
    """It writes values where readers find them."""

    def create(self, key: str, value: bytes) -> bytes | None:
        try:
            with open(self._path / key.replace("/", "%2F"), "xb", buffering=0) as file:
                file.write(value[: len(value) // 2])
                file.write(value[len(value) // 2 :])
        except FileExistsError:
            return self.read(key)
        return None


class LastWins(DirectoryRecord):
    """It looks first, and writes then, as over a slow network."""

    def create(self, key: str, value: bytes) -> bytes | None:
        before = self.read(key)
        if before is None:
            threading.Event().wait(0.01)
            (self._path / key.replace("/", "%2F")).write_bytes(value)
        return before


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (TornRecord, "test_a_value_is_never_seen_in_part"),
        pytest.param(LastWins, "test_one_of_eight_processes_wins_each_key", marks=pytest.mark.long),
    ],
)
def test_the_suite_finds_records_that_are_none(kind: type[DirectoryRecord], test: str, tmp_path: pathlib.Path) -> None:
    class Suite(RecordTests):
        def make(self) -> DirectoryRecord:
            return kind(tmp_path)

    with pytest.raises((AssertionError, ValueError)):
        getattr(Suite(), test)()


def test_a_folder_that_is_gone_is_an_error_and_no_empty_record(tmp_path: pathlib.Path) -> None:
    """A file system that is not mounted would look like a job without a plan, which begins again."""
    record = DirectoryRecord(tmp_path / "record")
    (tmp_path / "record").rmdir()
    for call in (lambda: record.read("a"), lambda: record.keys("a"), lambda: record.create("a", b""), lambda: record.forget("a")):
        with pytest.raises(OSError, match="No such file"):
            call()


def test_nothing_is_left_of_a_writer_that_was_killed(tmp_path: pathlib.Path) -> None:
    record = DirectoryRecord(tmp_path)
    record.create("job/1", b"value")
    (tmp_path / "job%2F2+0123456789abcdef").write_bytes(b"val")
    assert list(record.keys("")) == ["job/1"]
    record.forget("job/")
    assert list(tmp_path.iterdir()) == []
