"""What is said of connections that are none of ours."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class RefusedConnections:
    """Those of one listener. The first is told of: whoever tries again and again shall not fill a disk."""

    def __init__(self) -> None:
        self._told = False

    def tell(self, peer: str, why: str) -> None:
        """`peer` was refused, because it ... `why`."""
        if not self._told:
            self._told = True
            logger.warning("a connection from %s was refused: it %s; further rejections are not logged", peer, why)
