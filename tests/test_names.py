"""One name, one meaning: a reader who looks up a class by its name finds one class."""

from __future__ import annotations

import ast
import pathlib
from collections import defaultdict

import perdure

FOLDER = pathlib.Path(perdure.__file__).parent
EXCEPTIONS = {
    "Comm": "mpi4py has MPI.Comm and util.pkl5.Comm",
    "Intercomm": "mpi4py has MPI.Intercomm and util.pkl5.Intercomm",
    "Intracomm": "mpi4py has MPI.Intracomm and util.pkl5.Intracomm",
    "Message": "mpi4py has MPI.Message and util.pkl5.Message",
    "Request": "mpi4py has MPI.Request and util.pkl5.Request",
}
"""Names that programs know from mpi4py, with the reason why two classes have them."""


def homes_of_classes() -> dict[str, list[str]]:
    """Return the modules that define a class at their top level, by the name of the class."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(FOLDER.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(FOLDER)))
    return homes


def test_no_class_name_is_defined_twice() -> None:
    homes = homes_of_classes()
    assert len(homes) > 300, f"only {len(homes)} classes were found below {FOLDER}"
    twice = {name: places for name, places in homes.items() if len(places) > 1 and name not in EXCEPTIONS}
    assert not twice, "rename all but the most fitting one"


def test_every_exception_is_still_needed() -> None:
    homes = homes_of_classes()
    assert not [name for name in EXCEPTIONS if len(homes[name]) < 2], "remove what is no longer defined twice"
