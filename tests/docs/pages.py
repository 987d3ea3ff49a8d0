"""What a page of docs/ asks its reader to write and to run.

A fenced block is one step, taken in an empty folder of the page, in the order of the page:

* A block with a title is a file of that name.
* `python` is a program.
* `bash` is a list of commands. It ends with status 0, unless its output is quoted as an error.
* `mermaid` is a picture.
* `text` or `json` after either of them quotes output: its lines come in that order, and `...` stands for anything.

`<!-- long -->` before a block leaves it to the tests marked `long`, because it takes seconds. So does `<!-- on hosts -->`: the block
finds five machines, h1 to h5, and a shell to them that is called ssh.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

DOCS: Final = pathlib.Path(__file__).parents[2] / "docs"
_BLOCK: Final = re.compile(
    r'^(?P<indent> *)```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^(?P=indent)```$', re.MULTILINE | re.DOTALL
)
_MARK: Final = re.compile(r"<!-- (long|on hosts) -->\s*\Z")
OUTPUTS: Final = ("text", "json")
PICTURE: Final = "mermaid"
ERROR: Final = "perdure: error:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block.

    Attributes:
        line: the number of its first line in the page, from 1 on.
        mark: "long", "on hosts", or empty.
    """

    kind: str
    title: str | None
    body: str
    line: int
    mark: str

    @property
    def is_file(self) -> bool:
        return self.title is not None


def pages() -> list[pathlib.Path]:
    """Return the pages that have blocks, as paths relative to docs/."""
    return [path.relative_to(DOCS) for path in sorted(DOCS.rglob("*.md")) if any(blocks(path.read_text(encoding="utf-8")))]


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page in order, without pictures."""
    for found in _BLOCK.finditer(text):
        if found["kind"] == PICTURE:
            continue
        indent = found["indent"]
        body = "".join(line.removeprefix(indent) for line in found["body"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start()) + 1
        mark = _MARK.search(text, max(0, found.start() - 40), found.start())
        yield Block(kind=found["kind"], title=found["title"], body=body, line=line, mark=mark[1] if mark else "")


def is_quoted(quote: str, output: str) -> bool:
    """Do the lines of `quote` come in `output`, in this order? `...` in a line stands for anything in that line."""
    rest = [" ".join(line.split()) for line in output.splitlines()]
    for line in quote.splitlines():
        wanted = ".*".join(re.escape(part) for part in " ".join(line.split()).split("..."))
        while rest and not re.fullmatch(wanted, rest[0]):
            rest.pop(0)
        if not rest:
            return False
        rest.pop(0)
    return True
