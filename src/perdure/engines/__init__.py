"""Where do a node's processes come from? An engine has nodes, starts and ends their processes, and reports what happens to them.

`protocol` is what a new engine implements; `local` and `hosts` are two engines, and `perdure.testing.EngineTests` is the suite that each
of them passes (with `probe` in place of an agent). What several engines use: `process_groups` (processes of this machine), `entry` (what a
started process receives), `directory_record` (a record in a folder).
"""

from perdure.engines.protocol import (
    Capabilities,
    Engine,
    EngineAvailable,
    EngineEvent,
    EngineRecord,
    EngineUnavailable,
    EntryPoint,
    NodeDraining,
    NodeEnded,
    NodeGranted,
    NodeId,
    NodeRequest,
    NodeStarted,
    Post,
    RequestPending,
    RequestRefused,
    StartRefused,
)

__all__ = [
    "Capabilities", "Engine", "EngineAvailable", "EngineEvent", "EngineRecord", "EngineUnavailable", "EntryPoint", "NodeDraining",
    "NodeEnded", "NodeGranted", "NodeId", "NodeRequest", "NodeStarted", "Post", "RequestPending", "RequestRefused", "StartRefused",
]  # fmt: skip
