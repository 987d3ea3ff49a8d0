"""The process that `perdure.testing.EngineTests` lets an engine start on nodes, instead of an agent: `python -P -m perdure.engines.probe
...`.

It takes orders, a line each, on its control stream, and ends with that stream as an agent does (rule T7).
"""

from __future__ import annotations

import hashlib
import os
import select
import sys

from perdure.engines.entry import Entry, receive

ECHO, DIGEST, EXIT = b"echo", b"digest", b"exit"
"""Send what follows; send the digest of the configuration; exit with the status that follows."""


def digest_of(config: bytes) -> bytes:
    """Return what the probe answers to `DIGEST`."""
    return hashlib.sha256(config).hexdigest().encode()


def _obey(entry: Entry, order: bytes) -> None:
    verb, _, rest = order.partition(b" ")
    if verb == ECHO:
        entry.control.pass_on(rest + b"\n")
    elif verb == DIGEST:
        entry.control.pass_on(digest_of(entry.config) + b"\n")
    elif verb == EXIT:
        os._exit(int(rest))


def main() -> None:
    """Obey until the control stream ends."""
    entry = receive(sys.argv)
    while True:
        select.select([entry.control], [], [])
        orders = entry.control.receive()
        if orders is None:
            return
        for order in orders:
            _obey(entry, order)


if __name__ == "__main__":
    main()
