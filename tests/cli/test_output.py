"""What the ranks print, and the bar: no line inside another, nothing lost."""

from __future__ import annotations

import os
import pathlib
import pty
import re
import subprocess
import sys

from tests.cli.test_command import command

TALKS = str(pathlib.Path(__file__).parents[1] / "programs" / "talks.py")
LINE = r"<rank (\d) line (\d+) x{40}>"


def test_lines_of_ranks_stay_whole() -> None:
    done = command("run", TALKS, "--ranks", "4")
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        lines = [line for line in text.splitlines() if "x" * 40 in line]
        assert len(lines) == 800
        assert all(re.fullmatch(LINE, line) for line in lines)
    assert len(re.findall(r"^<rank \d ends without a line's end>$", done.stdout, re.MULTILINE)) == 4


def test_on_a_terminal_output_is_printed_above_the_bar() -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "perdure", "run", TALKS, "--ranks", "2", "--fault", "crash:rank=1,superstep=150"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as child:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # all who wrote have ended
                break
            shown += data
    os.close(ours)
    assert child.returncode == 0
    text = shown.decode()
    assert text.count("the job continues from superstep") == 1
    assert text.count("supersteps   200") == 1
    begun = len(re.findall(r"<rank", text))
    whole = re.findall(r"(?:^|\n|\x1b\[2K)" + LINE + r"(?=\r?\n)", text)
    assert {(rank, number) for rank, number in whole} == {(str(rank), str(number)) for rank in (0, 1) for number in range(200)}
    ends = re.findall(r"(?:^|\n|\x1b\[2K)<rank \d ends without a line's end>(?=\r?\n)", text)
    assert begun == len(whole) + len(ends)  # more than 2 ends: a rank was through when the other was lost
