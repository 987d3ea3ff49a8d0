"""A function that is passed to `perdure.run` may use the classes of its file in items, messages and its result."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

CELLS = """
from dataclasses import dataclass, field
import enum
import numpy as np
import perdure

SIZE = 3
MISSING = object()

class Colour(enum.Enum):
    RED = 1

class Named:
    label = MISSING

@dataclass
class Cell(Named):
    x: np.ndarray
    colour: Colour = Colour.RED
    history: list = field(default_factory=list)

def step(cell, job):
    cell.x += job.rng.random(SIZE)
    cell.history.append(float(cell.x.sum()))

def unused():
    return SIZE

def main(job, steps=10):
    cell = job.private("cell", Cell(np.zeros(SIZE)))
    for superstep in job.supersteps(steps, commit_every=2):
        step(cell, job)
        other = job.comm.sendrecv(cell, 1 - job.rank, source=1 - job.rank)
        assert type(other) is Cell and other.colour is Colour.RED and cell.label is MISSING
    EXTRA
    return job.comm.gather(cell)
"""
CALL = """
    for faults in [], ["kill:node=0,superstep=5"]:
        report = perdure.run(main, ranks=2, spares=1, faults=faults)
        print(report.generations, [round(sum(cell.history), 6) for cell in report.result])
        print(all(type(cell) is Cell and cell.colour is Colour.RED for cell in report.result), Cell.__module__, Cell.label is MISSING)
"""
GUARD = 'if __name__ == "__main__":'


def _lines(folder: pathlib.Path, text: str) -> list[str]:
    (folder / "script.py").write_text(text)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("home", ["__main__", "cells"])
def test_its_classes_come_back_as_those_of_the_caller(tmp_path: pathlib.Path, home: str) -> None:
    if home == "__main__":
        text = CELLS.replace("EXTRA", "") + GUARD + CALL
    else:
        (tmp_path / "cells.py").write_text(
            CELLS.replace("EXTRA", "from cells import unused, Cell as Again; assert unused() == 3 and Again is Cell")
        )
        text = "import perdure\nfrom cells import *\n" + GUARD + CALL
    lines = _lines(tmp_path, text)
    assert [line.partition(" ")[0] for line in lines[::2]] == ["1", "2"]
    assert lines[0].partition(" ")[2] == lines[2].partition(" ")[2]
    assert lines[1] == lines[3] == f"True {home} True"
