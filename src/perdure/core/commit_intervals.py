"""May a message be received in this commit interval? Asked of every message that is not of its receiver's own interval.

A rank's commit interval is the number of commit positions that it has passed in its generation. Every message carries that of its sender.
Messages of the same interval match at once. The other two cases would make the ranks' snapshots inconsistent (Chandy and Lamport,
"Distributed snapshots", 1985): a message that is received before a commit and sent after it would be sent again after a recovery, and one
that is sent before a commit and received after it would be lost.
"""

from __future__ import annotations

from enum import Enum, auto


class Match(Enum):
    """What a receive or a probe does with a message."""

    NOW = auto()
    HELD = auto()
    """The message matches nothing until its receiver has passed the same commits as its sender."""
    REFUSED = auto()
    """Its receive is an error."""


def match(sent_in: int, received_in: int) -> Match:
    """Return what becomes of a message of interval `sent_in` at a rank in interval `received_in`."""
    if sent_in == received_in:
        return Match.NOW
    return Match.HELD if sent_in > received_in else Match.REFUSED
