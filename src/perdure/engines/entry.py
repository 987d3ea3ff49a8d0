"""The command line of a process that an engine starts on a node: `python -P -m MODULE WORDS... FD PULSE CONTROL PARENT`.

FD is a file with the configuration. PULSE is to be kept open by a process of the node that holds little memory: its end is the node's end
(`perdure.engines.process_groups`). CONTROL is the node's end of its control stream. PARENT is the process whose end ends this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perdure.runtime.control_stream import ControlStream
from perdure.runtime.posix import die_with_parent
from perdure.streams.pairs import adopt


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The parsed command line. `words`: the words of the `EntryPoint` after its module; `pulse`: a descriptor."""

    words: tuple[str, ...]
    config: bytes
    pulse: int
    control: ControlStream


def receive(arguments: Sequence[str]) -> Entry:
    """Return what the command's arguments name; the first is the program itself. From now on this process ends with its parent."""
    *words, fd, pulse, control, parent = arguments[1:]
    with open(int(fd), "rb") as file:
        config = file.read()
    die_with_parent(int(parent))
    return Entry(words=tuple(words), config=config, pulse=int(pulse), control=ControlStream(adopt(int(control))))
