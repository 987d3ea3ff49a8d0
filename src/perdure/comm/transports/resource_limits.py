"""The resources of this process that a connection takes. A lack of them is no failure of the peer, nor its end."""

from __future__ import annotations

import errno
import os
from typing import Final

from perdure.errors import ConfigError

_LACKING: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


def is_exhausted(error: OSError) -> bool:
    """Would it have gone well in a process that has less open?"""
    return error.errno in _LACKING


def check_resources(what: str, error: OSError | None = None) -> None:
    """Raise ConfigError if `what` failed because this process has no descriptors left, or the kernel no memory; no error: so it is."""
    if error is None or is_exhausted(error):
        why = os.strerror(errno.EMFILE) if error is None else error.strerror
        raise ConfigError(f"{what}: {why}; see `ulimit -n`") from None
