"""The command `perdure doctor`: check the requirements of perdure on this machine."""

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
    """Print a line for each check. Return True if no requirement is missing."""
    print(f"perdure {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {platform.system()} {platform.release()}")
    print(f"cores {len(os.sched_getaffinity(0))}, available memory {available_bytes() / 1e9:.1f} GB")
    print(f"codec kernels: {kernels.current().name}; with two or more parity chunks: {kernels.warm(2)}")
    helpers = len(to_spare(sorted(os.sched_getaffinity(0)), 1, 1, Settings().kernel_helpers))
    print(f"  helper threads for encoding, with one rank on this machine: {helpers}")
    if kernels.current().name.startswith("NumPy"):
        print("  for faster kernels: pip install 'perdure[kernels]'")
    print(
        "snapshots in huge pages: "
        f"{'yes' if has_huge_pages() else 'no, so allocating memory takes longer; Linux 6.1 or later supports them'}"
    )
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
        return f"not available, so arrays are compared: {error}; it needs Linux 6.7 or later and permission to use userfaultfd"
    return "available: the kernel reports which pages were written"


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
