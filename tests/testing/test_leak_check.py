"""A campaign says that nothing is left behind: would it see what is?"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from perdure.testing import leak_check
from perdure.testing.leak_check import MARK, end_marked, leaks, marked


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak_check, "PATIENCE_S", 0.0)


def test_a_process_that_has_lost_its_parent_is_found_by_its_mark(tmp_path: pathlib.Path) -> None:
    mark = os.urandom(8).hex()
    orphan = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0, stdout=subprocess.DEVNULL).pid)"
    reads, writes = os.pipe()
    said = subprocess.run(
        [sys.executable, "-c", orphan], stdin=reads, stdout=subprocess.PIPE, env={**os.environ, MARK: mark}, check=True
    ).stdout  # fmt: skip
    pid = int(said)
    try:
        assert marked(mark) == [pid]
        assert leaks(mark, "", tmp_path) == [f"process {pid}"]
    finally:
        end_marked(mark, signal.SIGKILL)
        os.close(reads)
        os.close(writes)


def test_files_and_sockets_are_found(tmp_path: pathlib.Path) -> None:
    job = os.urandom(16).hex()
    (tmp_path / "forgotten").touch()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0perdure-{job}-agent-1")
        assert leaks("nobody's", job, tmp_path) == [f"file {tmp_path / 'forgotten'}", f"socket @perdure-{job}-agent-1"]
    (tmp_path / "forgotten").unlink()
    assert leaks("nobody's", job, tmp_path) == []
