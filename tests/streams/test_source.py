"""Sockets are the affair of `perdure.streams` alone: a module that uses one itself has no place for an encrypted stream."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator
from typing import Final

import perdure

SOURCE: Final = pathlib.Path(perdure.__file__).parent
FORBIDDEN: Final = {
    "MSG_WAITALL": "a stream's record may end anywhere: use Stream.receive_exactly",
    "recv_fds": "not every stream passes files: use Stream.receive_file where it passes_files, or perdure.streams.packets",
    "send_fds": "not every stream passes files: use Stream.send_file where it passes_files, or perdure.streams.packets",
    "AF_UNIX": "ask what a stream can do (is_local, passes_files) and not which kind it is",
}
IMPORTS: Final = "perdure.streams has streams, listeners, pairs, packets and names of hosts: use these"
EXCEPTIONS: Final = {
    "testing/shell.py": "it stands for ssh, a program of its own, and has the standard library only, because it is started by its path"
}


def breaches(text: str) -> Iterator[tuple[int, str]]:
    """Line and reason of everything in a module's text that only `perdure.streams` may have."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names) if any(name.name in ("socket", "_socket") for name in names):
                yield node.lineno, f"imports socket: {IMPORTS}"
            case ast.ImportFrom(module="socket" | "_socket"):
                yield node.lineno, f"imports from socket: {IMPORTS}"
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in FORBIDDEN:
                yield node.lineno, f"uses {name}: {FORBIDDEN[name]}"


def test_no_module_outside_streams_touches_a_socket() -> None:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        if not place.startswith("streams/") and place not in EXCEPTIONS:
            found += [f"src/perdure/{place}:{line} {why}" for line, why in breaches(path.read_text())]
    assert not found, "\n".join(found)


def test_every_exception_is_needed() -> None:
    for place in EXCEPTIONS:
        assert list(breaches((SOURCE / place).read_text())), f"{place} touches no socket any more: take it from the list"


def test_breaches_are_found() -> None:
    text = """
import os, socket
from socket import AF_INET
def read(sock):
    return sock.recv(1, socket.MSG_WAITALL) if sock.family == AF_UNIX else socket.recv_fds(sock, 1, 1) or socket.send_fds(sock, [], [])
"""
    assert [(line, why.partition(":")[0]) for line, why in sorted(breaches(text))] == [
        (2, "imports socket"),
        (3, "imports from socket"),
        (5, "uses AF_UNIX"),
        (5, "uses MSG_WAITALL"),
        (5, "uses recv_fds"),
        (5, "uses send_fds"),
    ]
