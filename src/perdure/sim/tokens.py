"""What do the simulated ranks send to one another? Tokens: in each superstep every other rank sends one to rank 0, and runs on.

Rank 0 takes as many as there are senders, whichever comes first (a receive from any source), so a sender that has passed a commit before
rank 0 may push aside a slower one. The program is right all the same, because a message of a later commit interval matches nothing. In
addition rank 1 may send one token before a commit that rank 0 takes after it, or never: see `Scenario.messages`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from perdure.core import channel_sums, commit_intervals
from perdure.core.channel_sums import Transit

NONE, RACING, CROSSING, LEFT, WARNED = PATTERNS = ("none", "racing", "crossing", "left", "warned")
CROSSES_AT: Final = 3
"""The superstep whose commit the additional token crosses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One message to rank 0; `extra`: the one that crosses a commit."""

    sender: int
    superstep: int
    interval: int
    extra: bool = False


@dataclass(slots=True, kw_only=True)
class TokenExchange:
    """The messages of one rank in one generation: the sent and the received ones, and those that wait."""

    rank: int
    size: int
    pattern: str
    interval: int = 0
    sent: Counter[int] = field(default_factory=Counter)
    received: Counter[int] = field(default_factory=Counter)
    waiting: list[Token] = field(default_factory=list)
    taken: list[Token] = field(default_factory=list)
    """In this commit interval, in order."""

    def wanted(self, superstep: int) -> int:
        """How many tokens rank 0 takes in a superstep."""
        if self.rank != 0 or self.pattern == NONE:
            return 0
        return self.size - 1

    def takes_extra(self, superstep: int) -> bool:
        """Does rank 0 receive the additional token in this superstep?"""
        return self.rank == 0 and self.size > 1 and superstep == CROSSES_AT and self.pattern in (CROSSING, WARNED)

    def to_send(self, superstep: int) -> list[Token]:
        """Return what this rank sends to rank 0 in a superstep; counts it."""
        if self.rank == 0 or self.pattern == NONE:
            return []
        tokens = [Token(sender=self.rank, superstep=superstep, interval=self.interval)]
        if self.rank == 1 and superstep == CROSSES_AT - 1 and self.pattern != RACING:
            tokens.append(Token(sender=self.rank, superstep=superstep, interval=self.interval, extra=True))
        self.sent[0] += len(tokens)
        return tokens

    def take(self, *, extra: bool) -> Token | commit_intervals.Match | None:
        """Receive the first token that matches; None: there is none yet. `Match.REFUSED`: it is an error to receive it."""
        for token in self.waiting:
            if token.extra != extra:
                continue
            found = commit_intervals.match(token.interval, self.interval)
            if found is commit_intervals.Match.HELD:
                continue
            if found is commit_intervals.Match.REFUSED and self.pattern != WARNED:
                return found
            self.waiting.remove(token)
            self.received[token.sender] += 1
            self.taken.append(token)
            return token
        return None

    def transit(self) -> Transit:
        """Return the sums at a commit position."""
        return Transit(sums=channel_sums.of_rank(self.rank, self.size, self.sent, self.received))

    def pass_commit(self) -> None:
        """What is sent from now on belongs to the next interval."""
        self.interval += 1
        self.taken.clear()
