"""How does a job start and end? `run` puts engine, supervisor and program together; the processes of a job begin in `entrypoints`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.launch.report import Report
    from perdure.launch.runner import run

__all__ = ["Report", "run"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the processes of a job need neither the supervisor nor the report."""
    if name not in __all__:
        raise AttributeError(f"module 'perdure.launch' has no attribute {name!r}")
    from perdure.launch import runner

    return getattr(runner, name)
