"""A message may be of any size, and take any time: what moves is no deadlock."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"
LINKS = {
    "shared": ("--transport", "shared"),
    "unix": ("--transport", "unix"),
    "tcp": ("--transport", "tcp"),
    "threads": ("--engine", "threads"),
}


def run(name: str, options: tuple[str, ...], *words: str, timeout_s: float = 60) -> list[str]:
    """Run the program on two ranks; what it printed."""
    command = [sys.executable, "-m", "perdure", "run", str(PROGRAMS / name), "--ranks", "2", "--spares", "0", "--parity", "0"]
    done = subprocess.run([*command, *options, "--", *words], capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("result  ")[0].splitlines()


@pytest.mark.parametrize("way", [*LINKS, "copied"])
def test_a_transfer_that_takes_longer_than_the_deadlock_timeout_is_no_deadlock(way: str) -> None:
    """`copied`: through the ring, because the receiver may not read the sender's memory."""
    words = ["copied"] if way == "copied" else []
    options = (*LINKS.get(way, ()), "--setting", "deadlock_timeout_s=1")
    assert run("slow_big_message.py", options, "80000000", "3", *words) == ["True True"]


@pytest.mark.parametrize("kind", ["buffer", "pickled"])
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("nbytes", [pytest.param(5 << 29, marks=pytest.mark.long, id="2.5 GiB"), pytest.param(40_000_003, id="40 MB")])
def test_a_message_of_any_size_arrives(nbytes: int, link: str, kind: str) -> None:
    """40 MB are more than one call of the system takes (`CALL_BYTES`, `BLOCK_BYTES`)."""
    assert run("big_message.py", LINKS[link], str(nbytes), kind, timeout_s=300) == [f"{nbytes} [1, 2, 3, 4]"]
