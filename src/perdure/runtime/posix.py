"""What Linux knows of processes and Python has no function for."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import pathlib
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

from perdure.errors import PerdureError
from perdure.logs import flush

logger = logging.getLogger(__name__)
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PF_EXITING: Final = 0x4
_FLAGS, _EXIT_CODE = 6, 49
"""Of /proc/PID/stat, counted from the state."""
_UNLIMITED: Final = 1 << 60
"""Bytes. A group of version 1 without a limit has one of nearly 2**63 bytes."""
KILL_PATIENCE_S: Final = 2.0
"""For processes that were killed to end: the kernel frees their memory first. Arbitrary."""
KILL_AGAIN_S: Final = 30.0
"""For processes that start others faster than they are killed. Arbitrary."""
_here: Final = threading.local()


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when `parent` ends; ends at once when it has ended already (rule W2, T7)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def call_when_orphaned(act: Callable[[], None]) -> None:
    """Call `act` in the main thread when the parent has ended, instead of SIGKILL; also if this process is stopped just then.

    The signal is SIGCONT, which is why: a stopped process would leave any other one but SIGKILL unheard.
    """
    parent = os.getppid()

    def continued(signum: int, frame: object) -> None:
        if os.getppid() != parent:
            act()

    signal.signal(signal.SIGCONT, continued)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def become_subreaper() -> None:
    """Make this process the parent of all orphans below it. Only Linux can: elsewhere a child that leaves its session is not ended with
    its worker, but with its node, by its environment."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_process(error: BaseException) -> NoReturn:
    """End this process, for the fault of a thread is the fault of its process. The error is logged first, a known one in one line."""
    if isinstance(error, PerdureError):
        logger.error("%s", error)
    else:
        logger.error("the process ends by an error", exc_info=error)
    flush()
    sys.stderr.flush()
    os._exit(70)


def stand_back() -> None:
    """Lets others have the processor first from now on: this thread gets a tenth of what each of them does, and interrupts none of them
    when it wakes. (Not SCHED_IDLE: it would hold the interpreter's lock for as long as others compute.)"""
    os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, os.getpid()) + 10)
    _here.stands_back = True


def stands_back() -> bool:
    """Did this thread `stand_back`? It cannot take that back."""
    return getattr(_here, "stands_back", False)


def is_stopped(pid: int) -> bool:
    """Is the process stopped by a signal (state T)? False when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def has_ended(pid: int) -> bool:
    """Whether a child of this process has ended and is not reaped (state Z)."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def descendants(*ancestors: int) -> dict[int, int]:
    """Return the living processes below some: process id -> how far below, 1 for children.

    A process whose main thread has ended counts as ended here, but may still have children: its other threads have not ended yet, and
    until then Linux gives the children to them. So the search goes on below ended processes too.
    """
    parents: dict[int, int] = {}
    ended = set()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            parents[int(entry.name)] = int(parent)
            if state in "ZX":
                ended.add(int(entry.name))
    found: dict[int, int] = {}
    level, depth = set(ancestors), 1
    while level := {pid for pid, parent in parents.items() if parent in level}:
        found |= dict.fromkeys(level - ended, depth)
        depth += 1
    return found


def end_descendants() -> None:
    """Kill all processes below this one. What they start meanwhile is found too, where this process is their subreaper.

    One look at /proc may miss a process whose parent ends just then, so this goes on until a look finds none that was not killed before.
    Those that were killed have `KILL_PATIENCE_S` to end.
    """
    killed: set[int] = set()
    began = deadline = time.monotonic()
    while found := descendants(os.getpid()):
        now = time.monotonic()
        if found.keys() - killed:
            deadline = min(now + KILL_PATIENCE_S, began + KILL_AGAIN_S)
        if now > deadline:
            return
        killed |= found.keys()
        kill_and_wait(found, deadline - now)


def own_children() -> list[int]:
    """The children of this process, which has one thread: also those that have ended and are not reaped."""
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as children:  # not every kernel has it
        return [int(pid) for pid in children.read().split()]
    return [pid for pid, depth in descendants(os.getpid()).items() if depth == 1]


def variable_of(pid: int, name: str) -> str | None:
    """A variable of the environment with which a living process was started; None: it has no such, or another user's it is."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            found = [one for one in environ.read().split(b"\0") if one.startswith(name.encode() + b"=")]
    except OSError:
        return None
    return found[0].partition(b"=")[2].decode(errors="replace") if found else None


def processes_with(name: str, value: str) -> list[int]:
    """The living processes that were started with this variable in their environment, or forked by one."""
    pids = [int(entry.name) for entry in pathlib.Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if variable_of(pid, name) == value]


def kill_and_wait(pids: Iterable[int], patience_s: float = KILL_PATIENCE_S) -> None:
    """Send SIGKILL, and wait until the processes have ended, for `patience_s` at most."""
    deadline = time.monotonic() + patience_s
    with contextlib.ExitStack() as stack:
        pidfds = []
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                pidfds.append(os.pidfd_open(pid))
                stack.callback(os.close, pidfds[-1])
                signal.pidfd_send_signal(pidfds[-1], signal.SIGKILL)
        for pidfd in pidfds:
            select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))


def ending(pid: int) -> int | None:
    """The wait status of a process that has begun to end, for which there is no way back; None while it lives, or when it is reaped.

    Its parent hears of the end only when the kernel has freed its memory (measured: 80 to 340 ms for two mapped slots of 256 MiB).
    """
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return int(fields[_EXIT_CODE]) if int(fields[_FLAGS]) & _PF_EXITING else None


def how_it_ended(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}"


def available_bytes() -> int:
    """Return how much memory new processes may still take: what the kernel has, or less where a control group limits it."""
    with open("/proc/meminfo") as meminfo:
        fields = dict(line.split(":") for line in meminfo)
    rooms = [int(fields["MemAvailable"].split()[0]) * 1024]
    with contextlib.suppress(FileNotFoundError), open("/proc/self/cgroup") as groups:  # a kernel without control groups
        rooms += _group_rooms(pathlib.Path("/"), groups.read())
    return min(rooms)


def _group_rooms(root: pathlib.Path, groups: str) -> list[int]:
    """Return how many bytes each limited control group of this process still allows, its own and all ancestors that are mounted.

    `root` is the root of the file system, `groups` the text of /proc/self/cgroup. The mount of a container may begin at the container's
    group, while `groups` counts from the host's root; or `groups` may leave the container's namespace (`/../name`). So groups that are
    not in the mount are left out, and the root of the mount always counts.
    """
    mounts = root / "sys/fs/cgroup"
    found: list[int] = []
    for line in groups.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            for mount in (mounts, mounts / "unified"):
                found += _rooms_along(mount, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            found += _rooms_along(mounts / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return found


def _rooms_along(mount: pathlib.Path, path: str, limit: str, usage: str, cached: str) -> list[int]:
    """Return the room in each limited group from the root of a mount to `path`. Pages of files not used lately count as room: the kernel
    drops them first."""
    names = [name for name in path.split("/") if name not in ("", "..")]
    found = []
    for length in range(len(names) + 1):
        group = mount.joinpath(*names[:length])
        with contextlib.suppress(OSError, ValueError):  # not in this mount, or not readable, or "max"
            room = int((group / limit).read_text()) - int((group / usage).read_text())
            if room < _UNLIMITED:
                found.append(max(0, room + _field(group / "memory.stat", cached)))
    return found


def _field(path: pathlib.Path, name: str) -> int:
    """Return a field of a file with a name and a number in each line; 0 if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return int(dict(line.split() for line in path.read_text().splitlines()).get(name, 0))
    return 0
