"""A place for the runs of a campaign in which every node has a host of its own: namespaces of this machine."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from perdure.testing.campaign.testbeds import HostFault
from perdure.testing.hosts import Hosts

LOSS: Final = 0.02
SLOW_MBIT: Final = 20.0


class NamespacedTestbed:
    """Hosts for so many nodes, and one that the job is started from. Raises HostsUnavailable where namespaces are not allowed."""

    def __init__(self, nodes: int) -> None:
        self._hosts = Hosts(nodes + 1)
        self._timers: list[threading.Timer] = []
        self._to_take_back: list[Callable[[], None]] = []
        names = ",".join(host.address for host in list(self._hosts)[1:])
        self.options: Sequence[str] = ("--hosts", names, "--shell", shlex.join(Hosts.shell))

    def __enter__(self) -> NamespacedTestbed:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
        self._hosts.close()

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """See `Testbed`: from the host without a node."""
        return self._hosts[0].popen(command, **options)

    def strike(self, fault: HostFault) -> None:
        """See `Testbed`."""
        host = self._hosts[fault.host + 1]
        back = {"stop_all": host.cont, "link_down": host.link_up, "cut": host.heal, "lossy": host.heal}.get(fault.kind)
        match fault.kind:
            case "power_off":
                host.power_off()
            case "kill_all":
                host.kill()
            case "stop_all":
                host.stop()
            case "link_down":
                host.link_down()
            case "cut":
                host.cut(self._hosts[fault.to + 1] if fault.to >= 0 else None)
            case "lossy":
                host.loss(LOSS)
            case "slow":
                host.slow(SLOW_MBIT)
            case _:
                raise ValueError(f"unknown kind of host fault {fault.kind!r}")
        if back is not None and fault.ms:
            timer = threading.Timer(fault.ms / 1000, back)
            self._timers.append(timer)
            timer.start()
        elif back is not None:
            self._to_take_back.append(back)

    def settle(self) -> None:
        """See `Testbed`."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()
        while self._to_take_back:
            self._to_take_back.pop()()
