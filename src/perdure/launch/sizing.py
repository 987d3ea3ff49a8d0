"""`group_size="auto"`: what is known of the job and its nodes, put to `perdure.core.sizing`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from perdure.core.domains import fullest
from perdure.core.orchestrator import JobShape
from perdure.core.settings import Settings
from perdure.core.sizing import Circumstances, Sizing, choose_group_size
from perdure.errors import ConfigError
from perdure.launch.shapes import homes_of

AUTO: Final = "auto"


def fixed_size(group_size: int | str | None) -> int | None:
    """The size that was asked for; None: the default, or one that is chosen. ConfigError: it is neither a number nor "auto"."""
    if isinstance(group_size, str):
        if group_size != AUTO:
            raise ConfigError(f"--group-size must be a number of ranks or auto, not {group_size!r}")
        return None
    return group_size


def sized(shape: JobShape, spares: int, settings: Settings, *, state_bytes: int | None, node_bytes: int) -> tuple[JobShape, Sizing | None]:
    """The shape with the size that is chosen, and why; without a choice as it was. `state_bytes`: a rank's largest; None: not known."""
    if node_bytes < 1:
        raise ConfigError("--node-memory must be more than 0 GB")
    choice = choose_group_size(
        Circumstances(
            ranks=shape.ranks, ranks_per_node=shape.ranks_per_node, parity=shape.parity,
            fullest=fullest(homes_of(shape.ranks, shape.ranks_per_node, spares, shape.domains), shape.domains),
            state_bytes=state_bytes, node_bytes=node_bytes, node_failure_every_s=settings.mean_time_between_failures_s,
            silence_s=settings.silence_s, snapshots=settings.snapshots,
        )
    )  # fmt: skip
    return (replace(shape, group_size=choice.size), choice) if choice is not None else (shape, None)
