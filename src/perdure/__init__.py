"""perdure: a runtime in which a bulk-synchronous job outlives the nodes it runs on.

What is public: `run` and its `Report`, the `Job` that `main` is handed, `current`, `Settings`, and the errors of `perdure.errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.core.settings import Settings
    from perdure.errors import (
        ConfigError,
        Deadlock,
        Diverged,
        EngineFailed,
        GenerationRevoked,
        InternalError,
        PerdureError,
        ProgramCrashed,
        ProgramFailed,
        Unrecoverable,
        UsageError,
    )
    from perdure.job import Job, current
    from perdure.launch import Report, run

__version__ = "0.1.0.dev0"
__all__ = [
    "ConfigError", "Deadlock", "Diverged", "EngineFailed", "GenerationRevoked", "InternalError", "Job", "PerdureError", "ProgramCrashed",
    "ProgramFailed", "Report", "Settings", "Unrecoverable", "UsageError", "current", "run",
]  # fmt: skip
_HOMES = {
    "Job": "perdure.job",
    "current": "perdure.job",
    "Report": "perdure.launch",
    "run": "perdure.launch",
    "Settings": "perdure.core.settings",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for only then: an agent needs no launcher, and `import perdure` costs a millisecond."""
    if name not in __all__:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "perdure.errors")), name)
