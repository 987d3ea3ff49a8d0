"""The far end of a shell: `python -m perdure.engines.remote_shim`, started on a host by `perdure.engines.hosts`.

Standard input brings one line, what is to be started, and then what the supervisor says; standard output carries what the node says. Here
the node is a group of processes as on the embedded engine, and only messages are passed on. So whatever ends this process ends the node,
and the end of standard input does, which is the supervisor's lifeline (rule T7). What the program prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys

from perdure.core.messages.supervisor import NodeExited
from perdure.engines import Process
from perdure.engines.local import LocalEngine
from perdure.runtime.control_stream import RECEIVE_BYTES
from perdure.runtime.posix import available_bytes
from perdure.wire.control_lines import encode

OUTPUT = 1


def _read_line() -> bytes:
    """To its end and no further: what follows is the node's."""
    text = bytearray()
    while piece := os.read(0, 1):
        if piece == b"\n":
            return bytes(text)
        text += piece
    return b""


class _Gone(Exception):
    """The shell, and so the supervisor, is not there any more."""


def _write(output: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(output, data) :]
    except OSError as error:
        raise _Gone from error


def _pass_on(process: Process, output: int) -> None:
    """Until either end is gone."""
    selector = selectors.DefaultSelector()
    for what in (0, process.control, process):
        selector.register(what, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                said = os.read(0, RECEIVE_BYTES)
                if not said:
                    raise _Gone
                process.control.pass_on(said)  # where it has ended, the kernel is about to say so
            elif key.fileobj is process.control:
                if not _pass_messages(process, output):
                    selector.unregister(process.control)
            else:
                how = process.how_it_ended()
                while _pass_messages(process, output):
                    pass
                _write(output, encode(NodeExited(how=how)))
                return


def _pass_messages(process: Process, output: int) -> bool:
    lines = process.control.receive()
    for line in lines or ():
        _write(output, line + b"\n")
    return bool(lines)


def main() -> None:
    """Starts a node and lives as long as it does."""
    text = _read_line()
    if not text:
        return
    order = json.loads(text)
    config = order["config"]
    config["parameters"]["available_bytes"] = available_bytes()
    os.environ.update(order["environment"])
    with contextlib.suppress(OSError):  # the supervisor's directory need not be here; a program that needs files says so
        os.chdir(order["directory"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the supervisor's terminal; it ends the job itself
    output = os.dup(OUTPUT)
    os.set_inheritable(output, False)
    os.dup2(2, OUTPUT)
    engine = LocalEngine()
    process = engine.start(config["node"], "agent", json.dumps(config).encode())
    try:
        _pass_on(process, output)
    except _Gone:
        engine.kill(process)
        process.how_it_ended()
    engine.kill(process)
    process.reap()
    process.sweep()
    sys.stderr.flush()


if __name__ == "__main__":
    main()
