"""Every rank prints lines in pieces, flushing each, and a line that no pipe takes as a whole with its end."""

from __future__ import annotations

import sys


def main(job, lines: int = 200):
    for number in job.supersteps(lines):
        for stream in (sys.stdout, sys.stderr):
            for piece in (f"<rank {job.rank} ", f"line {number} ", "x" * 40, ">"):
                print(piece, end="", file=stream, flush=True)
            print(file=stream)
    print(f"<rank {job.rank} ends without a line's end>", end="")
