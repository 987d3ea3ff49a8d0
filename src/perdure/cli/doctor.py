"""`perdure doctor`: what this machine has of what perdure needs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

import numpy as np

from perdure import __version__
from perdure.coding import kernels
from perdure.coding.cores import to_spare
from perdure.core.settings import Settings
from perdure.runtime.dirty_pages import DirtyPages
from perdure.runtime.memory import has_huge_pages
from perdure.runtime.posix import available_bytes
from perdure.streams import listen
from perdure.streams.addresses import unix_address


def doctor() -> bool:
    """Prints a line for each check; True when nothing that is needed is missing."""
    print(f"perdure {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {platform.system()} {platform.release()}")
    print(f"cores {len(os.sched_getaffinity(0))}, memory to spare {available_bytes() / 1e9:.1f} GB")
    print(f"codec kernels: {kernels.current().name}; from two parity chunks on: {kernels.warm(2)}")
    helpers = len(to_spare(sorted(os.sched_getaffinity(0)), 1, 1, Settings().kernel_helpers))
    print(f"  threads beside the one that encodes, with one rank here: {helpers}")
    if kernels.current().name.startswith("NumPy"):
        print("  faster ones come with the extra: pip install 'perdure[kernels]'")
    print(f"snapshots in huge pages: {'yes' if has_huge_pages() else 'no, so memory takes longer to get; Linux 6.1 and later have them'}")
    print(f"--track-writes: {_tracking()}")
    checks: list[tuple[str, Callable[[], object]]] = [
        ("Python 3.11 or newer", lambda: _true(sys.version_info >= (3, 11))),
        ("memory files (memfd)", lambda: os.close(os.memfd_create("perdure-doctor"))),
        ("process handles (pidfd)", lambda: os.close(os.pidfd_open(os.getpid()))),
        ("abstract Unix sockets", _abstract_socket),
    ]
    return all([_passes(name, check) for name, check in checks])


def _tracking() -> str:
    try:
        DirtyPages().close()
    except OSError as error:
        return f"arrays are compared all the same: {error}; Linux 6.7 and later tell what was written, where userfaultfd is allowed"
    return "the kernel tells what was written"


def _passes(name: str, check: Callable[[], object]) -> bool:
    try:
        check()
    except (OSError, AttributeError, AssertionError) as error:
        print(f"missing  {name}: {error or 'not there'}")
        return False
    print(f"ok       {name}")
    return True


def _true(condition: bool) -> None:
    assert condition


def _abstract_socket() -> None:
    listen(unix_address(f"perdure-doctor-{os.getpid()}")).close()
