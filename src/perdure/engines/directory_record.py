"""A record in a folder: one file for each key, on this machine or on a file system that several machines share.

1. A writer writes the value to a file of its own, and syncs it.
2. It links that file to the key's name. The link fails if the name exists, so the first writer wins.
3. It removes its own name and syncs the folder. A reader finds a whole value or none, whenever a writer is killed.

Names of files are keys, percent-encoded. A writer's own file has a `+` in its name, which no encoded key has.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

_OWN: Final = "+"


class DirectoryRecord:
    """An `EngineRecord` in a folder. It can be pickled, and used by several processes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Create the folder if it is missing. OSError: that is not possible."""
        self._path = pathlib.Path(path).absolute()
        self._path.mkdir(parents=True, exist_ok=True)

    def create(self, key: str, value: bytes) -> bytes | None:
        """See `EngineRecord.create`."""
        own = self._path / f"{_name_of(key)}{_OWN}{secrets.token_hex(8)}"
        try:
            _write(own, value)
            try:
                os.link(own, self._path / _name_of(key))
                before = None
            except FileExistsError:
                before = (self._path / _name_of(key)).read_bytes()
        finally:
            with contextlib.suppress(FileNotFoundError):  # it was not created, or `forget` has removed it
                own.unlink()
        self._sync()
        return before

    def read(self, key: str) -> bytes | None:
        """See `EngineRecord.read`."""
        try:
            return (self._path / _name_of(key)).read_bytes()
        except FileNotFoundError:
            self._path.stat()  # raises if the folder is gone: then nothing is known about the key
            return None

    def keys(self, prefix: str) -> Sequence[str]:
        """See `EngineRecord.keys`."""
        keys = [unquote(name) for name in os.listdir(self._path) if _OWN not in name]
        return sorted(key for key in keys if key.startswith(prefix))

    def forget(self, prefix: str) -> None:
        """See `EngineRecord.forget`."""
        for name in os.listdir(self._path):
            if unquote(name.partition(_OWN)[0]).startswith(prefix):
                with contextlib.suppress(FileNotFoundError):  # another process removes it too
                    os.unlink(self._path / name)
        self._sync()

    def _sync(self) -> None:
        """Make the names in the folder durable."""
        fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _name_of(key: str) -> str:
    """Return the name of a key's file. It begins with `%` where the key begins with a dot, so no key is `..` or a hidden file."""
    return quote(key, safe="").replace(".", "%2E")


def _write(path: pathlib.Path, value: bytes) -> None:
    with open(path, "xb") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())


__all__ = ["DirectoryRecord"]
