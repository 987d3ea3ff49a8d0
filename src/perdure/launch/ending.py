"""The end of a job, and the error that `perdure.run` raises for it."""

from __future__ import annotations

from dataclasses import dataclass

from perdure.errors import BY_NAME, EngineFailed


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a job: `error` is empty, or the name of a class in `perdure.errors`."""

    error: str = ""
    text: str = ""
    payload: bytes = b""


def error_of(ending: Ending) -> Exception | None:
    """The exception that `perdure.run` raises, if any."""
    if not ending.error:
        return None
    return BY_NAME.get(ending.error, EngineFailed)(ending.text)
