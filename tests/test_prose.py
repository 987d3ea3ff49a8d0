"""Docstrings are sentences that stand alone: a reader who sees only the first line learns what the thing is or does."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator

import perdure

FOLDER = pathlib.Path(perdure.__file__).parent
DONE = (
    "MPI.py", "__init__.py", "adapters", "cli", "coding", "core/messages", "engines", "errors.py", "job.py", "launch", "lent", "logs.py",
    "mapping.py", "streams", "wire",
)  # fmt: skip
"""The parts of the package that keep these rules. The others are to follow."""
FRAGMENT = re.compile(
    r"""(It|Its|They|Their|This|That|These|Those|He|She|We|Our|And|Or|But|Of|As|Also|What|Where|Who|Whom|Whose|Which|Why|How|When|While"""
    r"""|Here|There|So|Then|Both|Does|Is|Are|Has|Have|Was|Were|Did|Can|Could|May|Must|Nothing|Nobody|None|Said|Told|Heard)\b"""
)
"""The first word of a line that does not stand alone: a pronoun, a conjunction, a question, the rest of another sentence."""
SPEECH = re.compile(r"\b(told|tells?(?!:)|telling|said|says?|saying|hears?|heard|hearing|whoever)\b", re.IGNORECASE)
"""Words of speech, which hide whether something is sent, received, reported or logged."""


def docstrings(path: pathlib.Path) -> Iterator[tuple[int, bool, str]]:
    """Yield the line, whether it is that of a package's module, and the text of each docstring of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for one in getattr(node, "body", None) or () if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                is_question_allowed = isinstance(node, ast.Module) and path.name == "__init__.py"
                yield one.lineno, is_question_allowed, one.value.value.strip()


def faults(path: pathlib.Path) -> Iterator[str]:
    """Yield each docstring of a file that breaks a rule, with its place and the reason."""
    for line, is_question_allowed, text in docstrings(path):
        place = f"{path.relative_to(FOLDER)}:{line}"
        first = text.split("\n")[0]
        if FRAGMENT.match(first) and not (is_question_allowed and "?" in first):
            yield f"{place}: opens with a fragment: {first}"
        elif found := SPEECH.search(text):
            yield f"{place}: {found[0]!r} is a word of speech: write send, receive, report or log: {first}"


def is_done(path: pathlib.Path) -> bool:
    """Return whether the file belongs to a part in `DONE`."""
    name = str(path.relative_to(FOLDER))
    return any(name == part or name.startswith(part + "/") for part in DONE)


def test_first_lines_stand_alone_and_nothing_speaks() -> None:
    files = [path for path in sorted(FOLDER.rglob("*.py")) if is_done(path)]
    assert len(files) >= len(DONE)
    assert not [fault for path in files for fault in faults(path)]


def test_every_done_part_exists() -> None:
    assert not [part for part in DONE if not (FOLDER / part).exists()]
