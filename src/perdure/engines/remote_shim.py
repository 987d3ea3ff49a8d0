"""The far end of a shell: `python -m perdure.engines.remote_shim`, started on a host by `perdure.engines.hosts`.

Standard input brings one line, what is to be started, its configuration, and then what the supervisor sends; standard output carries what
the node sends. Here the node is a group of processes as on the embedded engine, and only messages are passed on. So whatever ends this
process ends the node, and the end of standard input does, which is the supervisor's lifeline (rule T7). What the program prints goes to
standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys

from perdure.core.messages.supervisor import NodeExited
from perdure.engines.process_groups import ProcessGroup, job_environment, start_group
from perdure.engines.protocol import EntryPoint
from perdure.runtime.control_stream import RECEIVE_BYTES, ControlStream
from perdure.wire.control_lines import encode

OUTPUT = 1


def order_of(entry_point: EntryPoint, config: bytes) -> bytes:
    """Return what standard input has to bring first, so that the entry point is started with this configuration."""
    order = {"environment": job_environment(), "directory": os.getcwd(), "entry_point": entry_point, "config_bytes": len(config)}
    return json.dumps(order).encode() + b"\n" + config


def _read_some(nbytes: int) -> bytes:
    """Read up to this number of bytes from standard input. An error of its connection is its end: the shell, at the other end, is gone."""
    try:
        return os.read(0, nbytes)
    except OSError:
        return b""


def _read_line() -> bytes:
    """To its end and no further: what follows is the node's."""
    text = bytearray()
    while piece := _read_some(1):
        if piece == b"\n":
            return bytes(text)
        text += piece
    return b""


def _read(nbytes: int) -> bytes:
    """Read this number of bytes from standard input; fewer at its end."""
    pieces = []
    while nbytes and (piece := _read_some(nbytes)):
        pieces.append(piece)
        nbytes -= len(piece)
    return b"".join(pieces)


class _Gone(Exception):
    """The shell, and so the supervisor, is not there any more."""


def _write(output: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(output, data) :]
    except OSError as error:
        raise _Gone from error


def _pass_on(group: ProcessGroup, control: ControlStream, output: int) -> None:
    """Until either end is gone."""
    selector = selectors.DefaultSelector()
    for what in (0, control, group):
        selector.register(what, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                said = _read_some(RECEIVE_BYTES)
                if not said:
                    raise _Gone
                control.pass_on(said)  # where it has ended, the kernel is about to say so
            elif key.fileobj is control:
                if not _pass_messages(control, output):
                    selector.unregister(control)
            else:
                how = group.how_it_ended()
                while _pass_messages(control, output) and control.received:
                    pass
                _write(output, encode(NodeExited(how=how)))
                return


def _pass_messages(control: ControlStream, output: int) -> bool:
    """False: the stream has ended."""
    lines = control.receive()
    for line in lines or ():
        _write(output, line + b"\n")
    return lines is not None


def main() -> None:
    """Starts a node and lives as long as it does."""
    text = _read_line()
    if not text:
        return
    order = json.loads(text)
    config = _read(order["config_bytes"])
    if len(config) < order["config_bytes"]:
        return
    os.environ.update(order["environment"])
    with contextlib.suppress(OSError):  # the supervisor's directory need not be here; a program that needs files says so
        os.chdir(order["directory"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the supervisor's terminal; it ends the job itself
    output = os.dup(OUTPUT)
    os.set_inheritable(output, False)
    os.dup2(2, OUTPUT)
    group = start_group(tuple(order["entry_point"]), config, is_node=True)
    try:
        _pass_on(group, ControlStream(group.control), output)
    except _Gone:
        group.kill()
        group.how_it_ended()
    group.kill()
    group.reap()
    group.sweep()
    sys.stderr.flush()


if __name__ == "__main__":
    main()
