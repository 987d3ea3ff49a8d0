"""Set up standard logging for a process of a job: the logger `perdure`, with one child per module.

Every record has the fields of its process (`job`, `node`, `rank`, `generation`), as far as they are known. Records go to standard error, as
lines for people or as one JSON object per line. A program that has handlers of its own for `perdure` keeps them: only the processes that
perdure starts, and its commands, call `configure`.

Nobody waits for a reader of standard error that has stopped, but a worker, as for all output of its program: agents and orchestrators write
from a thread, and what does not fit its queue is dropped, counted, and reported once there is room.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Final

from perdure.core.settings import LOG_LEVELS
from perdure.errors import ConfigError

ROOT: Final = "perdure"
FIELDS: Final = ("job", "node", "rank", "generation")
SHOWN: Final = ("node", "rank", "generation")
"""In lines for people. The job is the one that they look at."""
QUEUED_MAX: Final = 1000
"""Records that wait for a reader of standard error. Arbitrary."""
FLUSH_TIMEOUT_S: Final = 1.0
"""For the last records of a process that ends. Arbitrary."""
_bound: dict[str, str | int] = {}


def bind(**fields: str | int) -> None:
    """Give all later records of this process these fields, besides those that it has: some of `FIELDS`."""
    unknown = fields.keys() - set(FIELDS)
    assert not unknown, f"unknown fields of log records: {sorted(unknown)}"
    _bound.update(fields)


def log_change(logger: logging.Logger, what: str, before: tuple[str, int], now: tuple[str, int]) -> None:
    """Log the phase of a state machine, and bind its generation, if either is another one now. Both are (phase, generation)."""
    if now != before:
        bind(generation=now[1])
        logger.info("%s is %s, was %s", what, now[0], before[0])


def check_level(level: str) -> None:
    """Raise ConfigError if there is no such level."""
    if level not in LOG_LEVELS:
        raise ConfigError(f"--log-level must be one of {', '.join(LOG_LEVELS)}, not {level!r}")


def configure(level: str, *, as_json: bool, waits: bool = True) -> None:
    """Send records of the logger `perdure` from `level` on to standard error. A second call replaces the first.

    Args:
        level: one of `LOG_LEVELS`.
        as_json: one JSON object per line, with `time` (seconds since 1970), `level`, `logger`, `message`, `traceback` where there is one,
            and the fields that are known.
        waits: a thread that logs waits for a reader of standard error. If false, records are written by a thread: call it when the process
            forks no more.

    Raises:
        ConfigError: there is no such level.
    """
    check_level(level)
    logger = logging.getLogger(ROOT)
    for before in [handler for handler in logger.handlers if isinstance(handler, _StandardError)]:
        logger.removeHandler(before)
    handler = _StandardError() if waits else _Queued()
    handler.setFormatter(_JsonFormatter() if as_json else _LineFormatter())
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False


def flush() -> None:
    """Wait until the records so far are written, for `FLUSH_TIMEOUT_S` at most: before `os._exit`."""
    for handler in logging.getLogger(ROOT).handlers:
        handler.flush()


class _StandardError(logging.Handler):
    """Looks `sys.stderr` up for each record: it is replaced while a program runs. A record is one write, so lines are not torn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record with the fields of the process. A record may bring fields of its own (`extra=`)."""
        record.__dict__["fields"] = {name: value for name in FIELDS if (value := record.__dict__.get(name, _bound.get(name))) is not None}
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except OSError:
            self.handleError(record)


class _Queued(_StandardError):
    """Writes from a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._records: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED_MAX)
        self._dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        try:
            if self._dropped:
                text = "%d log records are missing here, because standard error was not read"
                self._records.put_nowait(logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (self._dropped,), None))
                self._dropped = 0
            self._records.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def flush(self) -> None:
        """See `perdure.logs.flush`."""
        with self._records.all_tasks_done:
            self._records.all_tasks_done.wait_for(lambda: not self._records.unfinished_tasks, FLUSH_TIMEOUT_S)

    def _write(self) -> None:
        while True:
            super().emit(self._records.get())
            self._records.task_done()


def _fields_of(record: logging.LogRecord) -> Mapping[str, str | int]:
    fields: Mapping[str, str | int] = record.__dict__["fields"]
    return fields


class _LineFormatter(logging.Formatter):
    """`perdure: warning: node 3, generation 2: ...`; below warnings with the name of the logger."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = _fields_of(record)
        where = ", ".join(f"{name} {fields[name]}" for name in SHOWN if name in fields)
        part = record.name if record.levelno < logging.WARNING else ""
        text = record.getMessage() + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")
        return ": ".join(filter(None, (ROOT, record.levelname.lower(), part, where, text)))


class _JsonFormatter(logging.Formatter):
    """One object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        known: dict[str, object] = {
            "time": round(record.created, 6), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            known["traceback"] = self.formatException(record.exc_info)
        return json.dumps(known | dict(_fields_of(record)))
