"""Print the table of all messages in docs/protocol.md, made from the classes of `perdure.core.messages`.

`pytest tests/core/test_protocol_document.py --rewrite` writes it into the document.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from typing import Final

from perdure.core import messages as msg

ROUTES: Final = (
    ("orchestrator", "agent", msg.ToAgent),
    ("agent", "orchestrator", msg.FromAgent),
    ("agent", "agent", msg.ToPeer),
    ("agent", "worker", msg.ToWorker),
    ("worker", "agent", msg.FromWorker),
    ("node", "supervisor", msg.FromNode),
    ("supervisor", "node", msg.ToNode),
    ("orchestrator", "supervisor", msg.FromOrchestrator),
    ("supervisor", "orchestrator", msg.ToOrchestrator),
)
"""The sender, the receiver, and the messages between them."""
_RULES: Final = re.compile(r"\s*\(rules? ([A-Z0-9', ]+)\)")


def table() -> str:
    """Return the table with a row for each class of messages, in the order of `ROUTES`."""
    rows = "".join(
        f"| `{kind.__name__}` | {' / '.join(routes)} | {rules(kind)} | {meaning(kind)} |\n" for kind, routes in routes_of().items()
    )
    return f"| message | from → to | rules | meaning |\n| --- | --- | --- | --- |\n{rows}"


def routes_of() -> dict[type, list[str]]:
    """Return the routes of each class of messages, such as "agent → orchestrator"."""
    found: dict[type, list[str]] = {}
    for sender, receiver, kinds in ROUTES:
        for kind in typing.get_args(kinds) or (kinds,):
            found.setdefault(kind, []).append(f"{sender} → {receiver}")
    return found


def rules(kind: type) -> str:
    """Return the rules that the docstring names, such as "D1, E10"."""
    return ", ".join(rules_of(kind))


def rules_of(kind: type) -> Iterator[str]:
    """Yield the rules that the first paragraph of the docstring names in parentheses."""
    for found in _RULES.findall(_paragraph(kind)):
        yield from found.split(", ")


def meaning(kind: type) -> str:
    """Return the first sentence of the docstring, without its rules."""
    return _RULES.sub("", _paragraph(kind)).split(". ")[0].removesuffix(".")


def _paragraph(kind: type) -> str:
    return str(inspect.getdoc(kind)).split("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    print(table(), end="")
