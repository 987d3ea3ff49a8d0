"""Logging: lines and JSON, the fields of a process, and a reader of standard error that has stopped."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

import perdure
from perdure import logs
from perdure.core.settings import Settings

PROGRAM = str(pathlib.Path(__file__).parent / "programs" / "mixture.py")
FILLS_THE_PIPE = """
import logging, sys
from perdure import logs
logs.configure("info", as_json=False, waits=False)
logger = logging.getLogger("perdure.runtime.agent")
for number in range(4000):
    logger.info("%d %s", number, "x" * 100)
print("all were logged", flush=True)
sys.stdin.readline()
logger.warning("the last one")
logs.flush()
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    logger = logging.getLogger(logs.ROOT)
    before, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = before, propagate
    logger.setLevel(level)
    logs._bound.clear()


def test_warnings_go_to_standard_error_with_the_fields_of_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", as_json=False)
    logs.bind(job="f00", node=3, generation=2)
    logger = logging.getLogger("perdure.runtime.agent")
    logger.info("not shown")
    logger.warning("the nursery was stopped for %g s", 3.0)
    logger.error("threads:\nmain", extra={"rank": 5})
    assert capsys.readouterr().err.splitlines() == [
        "perdure: warning: node 3, generation 2: the nursery was stopped for 3 s",
        "perdure: error: node 3, rank 5, generation 2: threads:",
        "main",
    ]


def test_json_has_all_fields_and_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", as_json=True)
    logs.bind(job="f00", node=3)
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        logging.getLogger("perdure.comm").debug("a thread ended", exc_info=error)
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record.pop("time") > 1.7e9
    assert "ValueError: two\nlines" in record.pop("traceback")
    assert record == {"level": "debug", "logger": "perdure.comm", "message": "a thread ended", "job": "f00", "node": 3}


def test_a_second_configuration_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", as_json=True)
    logs.configure("warning", as_json=False)
    logging.getLogger("perdure").warning("once")
    assert capsys.readouterr().err == "perdure: warning: once\n"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(perdure.ConfigError, match="--log-level must be one of debug, info, warning, error, not 'loud'"):
        perdure.run(PROGRAM, settings=Settings(log_level="loud"))


def test_a_reader_that_stops_holds_nobody_up_and_what_is_left_out_is_counted() -> None:
    """4,000 records of 100 characters fit neither the pipe nor the queue."""
    read, write = os.pipe()
    command = [sys.executable, "-c", FILLS_THE_PIPE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write, text=True) as process:
        os.close(write)
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "all were logged\n"
        with open(read) as errors:
            lines = [errors.readline() for _ in range(logs.QUEUED_MAX)]
            process.stdin.write("\n")
            process.stdin.flush()
            lines += errors.readlines()
    assert lines[-1] == "perdure: warning: the last one\n"
    left_out = [int(line.split(":")[-1].split()[0]) for line in lines if "log records are missing here" in line]
    assert left_out
    assert sum(left_out) + len(lines) - len(left_out) - 1 == 4000


def test_processes_of_a_job_log_with_their_node_rank_and_generation(capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_level="info", log_json=True)
    perdure.run(PROGRAM, ranks=2, spares=0, arguments={"supersteps": 3}, settings=settings)
    records = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    entered = [record for record in records if record["message"] == "main is entered at superstep 0"]
    assert sorted((record["node"], record["rank"], record["generation"]) for record in entered) == [(0, 0, 1), (1, 1, 1)]
    assert len({record["job"] for record in records}) == 1
    assert {"perdure.runtime.agent", "perdure.runtime.orchestrator", "perdure.runtime.worker"} <= {record["logger"] for record in records}
