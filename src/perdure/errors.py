"""All errors that perdure raises, in one tree, divided by who must act.

    PerdureError
    ├── UsageError          the program uses perdure wrongly; its author must change it           (exit status 2)
    ├── ConfigError         an option or the machine does not fit; the operator must act          (exit status 2)
    ├── ProgramFailed       `main` raised an exception, or cannot continue                        (exit status 1)
    │   ├── ProgramExited   the program called `sys.exit(n)` or `Abort(n)`                         (exit status n)
    │   ├── ProgramCrashed  the process of one rank crashed repeatedly from the same commit
    │   ├── Deadlock        every rank waits inside a job call and no message moves
    │   └── Diverged        a replicated item differs between ranks, and the settings stop the job
    ├── EngineFailed        the engine cannot start or keep the processes that the job needs      (exit status 1)
    ├── Unrecoverable       more data was lost than parity can rebuild                            (exit status 3)
    └── InternalError       a defect of perdure; please report it                                 (exit status 70)

    GenerationRevoked       (a BaseException) unwinds `main`; only the runtime catches it

The fields of errors are strings and numbers, and errors can be pickled: most are raised in one process and reported by another.
"""

from __future__ import annotations


class PerdureError(Exception):
    """The base of all errors that a caller may want to catch. `str(error)` is one line: what happened, where, what to do."""

    exit_status: int = 70


class UsageError(PerdureError):
    """The program uses perdure wrongly."""

    exit_status: int = 2


class ConfigError(PerdureError):
    """An option, a setting, a path or the available memory does not allow the job."""

    exit_status: int = 2


class ProgramFailed(PerdureError):
    """`main` raised an exception. The text is the traceback of the first rank that raised."""

    exit_status: int = 1


class ProgramExited(ProgramFailed):
    """The program called `sys.exit(n)` or `Abort(n)`. The last word of the text is the exit status, which the job has too."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        last = text.rpartition(" ")[2]
        self.exit_status = int(last) if last.isdecimal() else ProgramFailed.exit_status


class ProgramCrashed(ProgramFailed):
    """The process of one rank crashed several times from the same commit, so a retry would crash again."""


class Deadlock(ProgramFailed):
    """All ranks wait inside job calls and no message moves, so no rank can continue."""


class Diverged(ProgramFailed):
    """A replicated item differs between ranks: memory is faulty, or the program is not deterministic. More parity would not help."""


class EngineFailed(PerdureError):
    """The engine could not start the processes of the job, or lost the orchestrator too often."""

    exit_status: int = 1


class Unrecoverable(PerdureError):
    """More of a parity group was lost than its parity can rebuild. The job ends without a result."""

    exit_status: int = 3


class InternalError(PerdureError):
    """An invariant of perdure itself does not hold."""

    exit_status: int = 70


class GenerationRevoked(BaseException):
    """The generation is over: a node or a worker was lost, or the membership changes.

    Every later call of `job` and `job.comm` of that generation raises it. It is a `BaseException`, so that an `except Exception` in the
    program does not catch it. Let it pass: `main` is entered again in the next generation.
    """


_TOLD = (
    PerdureError, UsageError, ConfigError, ProgramFailed, ProgramExited, ProgramCrashed,
    Deadlock, Diverged, EngineFailed, Unrecoverable, InternalError,
)  # fmt: skip
BY_NAME: dict[str, type[PerdureError]] = {cls.__name__: cls for cls in _TOLD}
"""The error classes by name: an error is sent between processes as `(name, text)`."""
