"""Who may connect to an agent: one who knows the job's token, which travels in configurations only.

A connection's first bytes are a HELLO: the token, the role of the process that dials, a number. `perdure.runtime.reception` reads it.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Final

HELLO: Final = struct.Struct("<32s8sI")
"""token, role, number: a generation (data), an agent (peer), a round (orchestrator)."""
ORCHESTRATOR, PEER, DATA = b"orch", b"peer", b"data"


@dataclass(frozen=True, slots=True)
class Admission:
    """What all processes of a job know, and nobody else: 32 bytes."""

    token: bytes

    def hello(self, role: bytes, number: int) -> bytes:
        """The first bytes of a connection."""
        return HELLO.pack(self.token, role, number)

    def admitted(self, hello: bytes) -> tuple[bytes, int] | None:
        """Role and number of who said `hello`; None: a stranger."""
        token, role, number = HELLO.unpack(hello)
        return (role.rstrip(b"\0"), number) if hmac.compare_digest(token, self.token) else None
