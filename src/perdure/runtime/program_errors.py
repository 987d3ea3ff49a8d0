"""What does an error of `main` look like, in the rank's standard error and to the orchestrator?

The whole traceback is written where the error happens. What is sent is bounded: it names the rank and the superstep first.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Final

from perdure.core import messages as msg
from perdure.errors import BY_NAME, PerdureError, ProgramExited
from perdure.runtime.lines import print_error
from perdure.runtime.program_threads import PACKAGE

MAX_ERROR_CHARS: Final = 64 << 10
"""Of an error's text, as it is sent; arbitrary: several screens, and small beside any frame."""
SUMMARY_CHARS: Final = 500
"""Of the first line of a program's error. Arbitrary: some lines of a terminal."""


def where(rank: int, superstep: int) -> str:
    """Return the place of an error in words; `superstep` is -1 before the first one."""
    return f"rank {rank}, {f'superstep {superstep}' if superstep >= 0 else 'before its first superstep'}"


def print_raised(error: BaseException, place: str, hint: str = "") -> None:
    """Write the traceback to standard error, with `place` before it and `hint` after it.

    The end of a program by its exit status has no traceback.
    """
    if not isinstance(error, ProgramExited):
        print_error("\n".join([f"perdure: {place}:", _traceback_of(error), *([f"perdure: {hint}"] if hint else []), ""]))


def reentry_hint(error: BaseException, generation: int, superstep: int) -> str:
    """Return what an error before the loop may come from, if `main` was entered again; empty where that explains nothing."""
    if generation == 1 or superstep >= 0 or isinstance(error, PerdureError):
        return ""
    return (
        f"main was entered again after a loss, in generation {generation}: the code before its loop must be repeatable, even in the "
        "same process"
    )


def as_raised(generation: int, error: BaseException, place: str = "", hint: str = "") -> msg.MainRaised:
    """Return what `main` raised, in words: an error of ours, or a summary and a traceback of the program's own frames, `hint` between."""
    if isinstance(error, PerdureError):
        known = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in BY_NAME)
        return msg.MainRaised(generation=generation, error=known, text=_sendable(_placed(str(error), error, place)))
    text = "\n".join([_summary(error, place), *([hint] if hint else []), _traceback_of(error)])
    return msg.MainRaised(generation=generation, error="ProgramFailed", text=_sendable(text))


def _placed(text: str, error: PerdureError, place: str) -> str:
    """Many errors of ours name the rank or the superstep themselves; an exit status must stay the last word."""
    rank, _, superstep = place.partition(", ")
    missing = [part for part in (rank, superstep) if part and part not in text]
    return text if not missing or isinstance(error, ProgramExited) else f"{', '.join(missing)}: {text}"


def _summary(error: BaseException, place: str) -> str:
    lines = _lines_of(traceback.format_exception_only, error)
    text = lines[-1].splitlines()[0] if lines else type(error).__name__
    cut = text if len(text) <= SUMMARY_CHARS else f"{text[:SUMMARY_CHARS]} ..."
    return f"{place}: {cut}" if place else cut


def _traceback_of(error: BaseException) -> str:
    def lines(raised: BaseException) -> list[str]:
        told = traceback.TracebackException.from_exception(raised, compact=True)
        _keep_own_frames(told)
        return list(told.format())

    return "".join(_lines_of(lines, error)).rstrip()


def _lines_of(make: Callable[[BaseException], list[str]], error: BaseException) -> list[str]:
    """An error may be of a class that no traceback can be made of; then its class and the reason are told."""
    try:
        return make(error)
    except Exception as failure:
        return [f"{type(error).__name__}: its traceback cannot be made ({type(failure).__name__})\n"]


def _keep_own_frames(told: traceback.TracebackException) -> None:
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if not frame.filename.startswith(PACKAGE)])
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _keep_own_frames(other)


def _sendable(text: str) -> str:
    """Return `text` as UTF-8 can carry it (lone surrogates are escaped), without its middle if it is long."""
    sent = text.encode(errors="backslashreplace").decode()
    if len(sent) <= MAX_ERROR_CHARS:
        return sent
    half = MAX_ERROR_CHARS // 2
    return f"{sent[:half]}\n... ({len(sent) - 2 * half} characters left out; standard error has all of them) ...\n{sent[-half:]}"
