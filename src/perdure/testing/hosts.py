"""Several hosts on one machine, each with an address, processes and a fate of its own, and faults to try them with.

    with Hosts(3) as hosts:
        server = hosts[0].popen([sys.executable, "server.py"])
        hosts[1].link_down()    # a cut: nothing arrives, and nobody is told
        hosts[2].kill()         # all of its processes end; its kernel says so to their peers
        hosts[2].power_off()    # the link goes down first: nobody is told

A host is a set of namespaces (network, processes, mounts, names) held by its process 1; its one interface hangs on a bridge in a namespace
of its own, so no packet reaches the machine's network, and none of its. As root, or in a user namespace. Process 1 of each ends with a pipe
that only this process holds: whatever ends this process, nothing is left, and nothing lies in any file system.

`hosts.shell` is for `perdure.engines.hosts.HostsEngine`, or `perdure run --shell`: it goes over the bridge, so faults strike it as well.
What starts a job must therefore run on one of the hosts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final

from perdure.errors import PerdureError
from perdure.testing import shell as shell_module

NETWORK: Final = "198.18.0"
"""Addresses that the Internet does not use (RFC 2544); 254 hosts."""
START_TIMEOUT_S: Final = 20.0
_SHELL: Final = (sys.executable, "-S", "-E", shell_module.__file__)
_SWITCH: Final = "import os,sys; os.write(int(sys.argv[1]), b'R'); os.close(int(sys.argv[1])); os.read(int(sys.argv[2]), 1)"
_DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")
"""An nsenter stops itself with its child, and process 1 cannot end before every nsenter has taken note of its child's end: a stopped one
would keep the host for ever, whoever else is killed."""
_ALL, _NONE = 0xFFFFFFFF, 0
_RANDOM: Final = 0xFFFFF000 + 56
"""SKF_AD_RANDOM: a classic BPF program loads a random word from there."""


class HostsUnavailable(PerdureError):
    """This machine does not allow namespaces, or lacks what a fault needs. The text says which."""


class _Namespaces:
    """A process that holds namespaces. `outer` is known to this process's namespaces, `init` is what to enter."""

    def __init__(self, name: str, command: Callable[[int, int], list[str]], *, of_its_own: bool, user: int) -> None:
        """`command(lifeline, ready)`. `of_its_own`: processes see only these. `user`: who holds the user namespace, 0 nobody, -1 this."""
        flags = ["--net", "--uts", "--mount", "--ipc"]
        self._enter = ["-n", "-m", "-u", "-i", "-w"]
        if of_its_own:
            flags += ["--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
            self._enter.append("-p")
        if user:
            self._enter += ["-U", "--preserve-credentials"]
        before = ["nsenter", "-t", str(user), "-U", "--preserve-credentials", "--"] if user > 0 else []
        flags += ["--user", "--map-root-user"] if user < 0 else []
        self.name, self._procs, self._ended = name, list[subprocess.Popen[Any]](), False
        read, ready = os.pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self._holder = subprocess.Popen(
                [*before, "unshare", *flags, "--", *command(lifeline, ready)], pass_fds=(lifeline, ready), stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE if not of_its_own else None, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            for fd in (read, self._lifeline):
                os.close(fd)
            raise HostsUnavailable(f"namespaced hosts need unshare and nsenter of util-linux: {error.strerror}") from error
        finally:
            os.close(lifeline)
            os.close(ready)
        with open(read, "rb", buffering=0) as pipe:
            there = bool(select.select([pipe], [], [], START_TIMEOUT_S)[0]) and pipe.read(1) == b"R"
        if not there:
            self._holder.kill()
            self._holder.wait()
            os.close(self._lifeline)
            said = (self._holder.stderr.read().decode() if self._holder.stderr else "").strip()
            raise HostsUnavailable(
                f"namespaces are not allowed here: {name} did not start ({said.splitlines()[-1] if said else 'see above'})"
            )
        self.outer = self._holder.pid
        self.init = _only_child(self.outer) if of_its_own else self.outer
        self._pidfd = os.pidfd_open(self.init)

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs another one inside."""
        return ["nsenter", "-t", str(self.init), *self._enter, "--", *argv]

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """As `subprocess.Popen`, inside. What runs there ends with the host, and with the thread that has called this."""
        process = subprocess.Popen([*_DIE_WITH_PARENT, *self.enter(argv)], **options)
        self._procs.append(process)
        return process

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run`, inside, with its output as text. CalledProcessError when it fails."""
        return subprocess.run(self.enter(argv), capture_output=True, text=True, check=True, **options)

    def _fault(self, argv: Sequence[str], need: str) -> None:
        try:
            self.run(argv)
        except subprocess.CalledProcessError as error:
            raise HostsUnavailable(f"{need}: {error.stderr.strip().splitlines()[0]}") from error

    def begin_end(self) -> None:
        """SIGKILL for all processes inside; `end` waits for them."""
        if self._ended:
            return
        self._holder.kill()  # first: it complains when its child ends before it
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        for process in self._procs:
            process.kill()

    def end(self) -> None:
        """SIGKILL for all processes inside; all have ended when this returns. May be called again."""
        if self._ended:
            return
        self.begin_end()
        self._ended = True
        self._holder.wait()
        select.select([self._pidfd], [], [])
        os.close(self._pidfd)
        if self._holder.stderr is not None:
            self._holder.stderr.close()
        for process in self._procs:
            process.wait()
        os.close(self._lifeline)


class Host(_Namespaces):
    """One of `Hosts`. Its faults may be combined; all but the end of the host can be taken back."""

    def __init__(self, hosts: Hosts, index: int) -> None:
        self._hosts, self._switch, self.index, self.address, self._port = hosts, hosts.switch, index, f"{NETWORK}.{index + 1}", f"p{index}"
        self._filters = 0

        def command(lifeline: int, ready: int) -> list[str]:
            serve = shlex.join([*_SHELL, "serve", str(lifeline), str(ready)])
            return ["sh", "-ec", f"hostname h{index}; mount -t tmpfs tmpfs /dev/shm; ip link set lo up; exec {serve}"]

        super().__init__(f"h{index}", command, of_its_own=True, user=hosts.user)
        link = f"link add {self._port} type veth peer name eth0 netns {self.outer}\nlink set {self._port} master bridge up\n"
        self._switch.run(["ip", "-batch", "-"], input=link)
        self.run(["ip", "-batch", "-"], input=f"addr add {self.address}/24 dev eth0\nlink set eth0 up\n")

    def link_down(self) -> None:
        """Nothing leaves it or reaches it."""
        self._switch.run(["ip", "link", "set", self._port, "down"])

    def link_up(self) -> None:
        """The link is back."""
        self._switch.run(["ip", "link", "set", self._port, "up"])

    def cut(self, to: Host | None = None, *, one_way: bool = True) -> None:
        """What it sends to another host, or to all, is lost; unless `one_way`, also what comes from there. `heal` takes it back."""
        if to is None:
            program = [f"6 0 0 {_ALL}"]
        else:
            target = int(ipaddress.IPv4Address(to.address))
            program = ["40 0 0 12", "21 0 3 2048", "32 0 0 30", f"21 0 1 {target}", f"6 0 0 {_ALL}", f"6 0 0 {_NONE}"]
        self._drop(program)
        if not one_way:
            for other in [other for other in self._hosts if other is not self] if to is None else [to]:
                other.cut(self)

    def loss(self, fraction: float) -> None:
        """So much of what it sends is lost, by chance. `heal` takes it back."""
        kept = min(int((1 - fraction) * _ALL), _ALL)
        self._drop([f"32 0 0 {_RANDOM}", f"37 0 1 {kept}", f"6 0 0 {_ALL}", f"6 0 0 {_NONE}"])

    def heal(self) -> None:
        """No cut and no loss of what it sends any more."""
        if self._filters:
            self._switch.run(["tc", "qdisc", "del", "dev", self._port, "clsact"])
            self._filters = 0

    def slow(self, mbit: float) -> None:
        """Its link carries so many megabits a second, in each direction."""
        shape = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "64kb", "latency", "50ms"]
        for enter, device in ((self._switch, self._port), (self, "eth0")):
            enter._fault(["tc", "qdisc", "replace", "dev", device, *shape], "a slow link needs tc with tbf (sch_tbf)")

    def _drop(self, program: Sequence[str]) -> None:
        """Where the switch takes in what it sends: what a classic BPF program matches goes nowhere."""
        if not self._filters:
            self._switch._fault(["tc", "qdisc", "add", "dev", self._port, "clsact"], "cuts and losses need tc with clsact")
        self._filters += 1
        match = ["pref", str(self._filters), "protocol", "all", "bpf", "bytecode", f"{len(program)}," + ",".join(program)]
        drop = ["action", "mirred", "egress", "redirect", "dev", "nowhere"]
        command = ["tc", "filter", "add", "dev", self._port, "ingress", *match, *drop]
        self._switch._fault(command, "cuts and losses need tc with cls_bpf and act_mirred")

    def kill(self) -> None:
        """All processes end, with the link up: the kernel tells their peers."""
        self.end()

    def power_off(self) -> None:
        """All processes end, and nobody is told."""
        self.link_down()
        self.end()

    def pids(self) -> list[int]:
        """Its processes but the first, by their numbers outside."""
        namespace = os.readlink(f"/proc/{self.init}/ns/pid")
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdecimal() and int(entry) != self.init:
                with contextlib.suppress(OSError):  # it has ended meanwhile, or is nobody's to look at
                    if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                        found.append(int(entry))
        return found

    def stop(self) -> None:
        """SIGSTOP for everything but process 1; its kernel goes on acknowledging what arrives."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """They go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, number)


class Hosts:
    """So many hosts on one switch, to be used as a context. Raises HostsUnavailable where namespaces are not allowed.

    Attributes:
        switch: the namespace of the bridge; host i hangs there on the port `p<i>`.
        shell: the command that runs another one on a host, as `HostsEngine(shell=...)` takes it.
    """

    shell: Final = (*_SHELL, "{host}")

    def __init__(self, count: int) -> None:
        self._all: list[Host] = []
        self.user = 0 if os.geteuid() == 0 and _may_unshare() else -1

        def command(lifeline: int, ready: int) -> list[str]:
            return [sys.executable, "-S", "-E", "-c", _SWITCH, str(ready), str(lifeline)]

        self.switch = _Namespaces("the switch", command, of_its_own=False, user=self.user)
        if self.user:
            self.user = self.switch.outer
        links = "link set lo up\nlink add bridge type bridge\nlink set bridge up\n"
        nowhere = "link add nowhere type veth peer name nothing\nlink set nowhere up\nlink set nothing up\n"
        try:
            self.switch.run(["ip", "-batch", "-"], input=links + nowhere)
            for index in range(count):
                self._all.append(Host(self, index))
        except subprocess.CalledProcessError as error:
            self.close()
            raise HostsUnavailable(f"namespaced hosts need ip with veth and bridge: {error.stderr.strip()}") from error
        except BaseException:
            self.close()
            raise

    def __getitem__(self, index: int) -> Host:
        return self._all[index]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """All hosts end; nothing is left."""
        for host in self._all:
            host.begin_end()
        for host in self._all:
            host.end()
        self.switch.end()


def _may_unshare() -> bool:
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def _only_child(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return int(children.read().split()[0])
