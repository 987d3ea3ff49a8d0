"""Every error that perdure raises, in one tree, split by who must act.

    PerdureError
    ├── UsageError          the program asks for something it must not; its author mends it      (exit status 2)
    ├── ConfigError         the command line or the machine does not fit; the operator mends it  (exit status 2)
    ├── ProgramFailed       `main` raised an exception, or cannot go on                           (exit status 1)
    │   ├── ProgramExited   the program ended itself by `sys.exit(n)` or `Abort(n)`                (exit status n)
    │   ├── ProgramCrashed  the same rank's process ended again and again from the same commit
    │   ├── Deadlock        every rank waits inside a job call and no message moves
    │   └── Diverged        a replicated item is not the same on all ranks, and the operator wants no job that goes on
    ├── EngineFailed        the engine cannot start or keep the processes that the job needs      (exit status 1)
    ├── Unrecoverable       the hardware won: more was lost than the redundancy can give back     (exit status 3)
    └── InternalError       a rule of ours was broken; please report it                           (exit status 70)

    GenerationRevoked       (a BaseException) unwinds `main`; nobody catches it but the runtime

Errors hold only strings and numbers as fields and survive pickling, because most of them are raised in one process and told in another.
"""

from __future__ import annotations


class PerdureError(Exception):
    """Base of all errors that a caller may want to catch. `str(error)` is one line: what, where, what to do."""

    exit_status: int = 70


class UsageError(PerdureError):
    """The program uses perdure wrongly."""

    exit_status: int = 2


class ConfigError(PerdureError):
    """What the operator asked for cannot be had: a setting, a path, a quantity of memory."""

    exit_status: int = 2


class ProgramFailed(PerdureError):
    """`main` raised. The text is the traceback of the first rank that raised."""

    exit_status: int = 1


class ProgramExited(ProgramFailed):
    """The program ended itself, by `sys.exit(n)` or `Abort(n)`. The last word of the text is the exit status, which is the job's."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        last = text.rpartition(" ")[2]
        self.exit_status = int(last) if last.isdecimal() else ProgramFailed.exit_status


class ProgramCrashed(ProgramFailed):
    """The process of one rank ended several times from the same commit, so another try would end the same way."""


class Deadlock(ProgramFailed):
    """All ranks wait inside job calls and no message moves: nobody can ever go on."""


class Diverged(ProgramFailed):
    """A replicated item differs between ranks: memory has failed, or the program is not deterministic. More redundancy would not help."""


class EngineFailed(PerdureError):
    """The engine could not start the processes, or lost the one that supervises them."""

    exit_status: int = 1


class Unrecoverable(PerdureError):
    """More of a parity group was lost than its parity can rebuild. Nothing wrong is returned; the job ends."""

    exit_status: int = 3


class InternalError(PerdureError):
    """An invariant of perdure itself does not hold."""

    exit_status: int = 70


class GenerationRevoked(BaseException):
    """The generation is over: a node or a worker was lost, or the membership changes.

    Raised by every call of `job` and `job.comm` of that generation from then on, for ever. It is a `BaseException`, so that an
    `except Exception` in the program cannot eat it; let it pass, and `main` is entered again with the next generation.
    """


_TOLD = (
    PerdureError, UsageError, ConfigError, ProgramFailed, ProgramExited, ProgramCrashed,
    Deadlock, Diverged, EngineFailed, Unrecoverable, InternalError,
)  # fmt: skip
BY_NAME: dict[str, type[PerdureError]] = {cls.__name__: cls for cls in _TOLD}
"""How an error that crossed a process boundary as `(name, text)` becomes an exception again."""
