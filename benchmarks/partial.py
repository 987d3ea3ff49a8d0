"""What does a commit cost when little of the state has changed, against one of which all has? Ratios of medians in one run.

    python benchmarks/partial.py [--mb 64 256] [--share 0.01] [--commits 7] [--parity 1] [--track-writes] [--json]

Four ranks; the part that changes is one stretch, elsewhere in each superstep, so a block differs from two commits ago in two stretches.
"held": until the slowest rank may go on. "committed": until all ranks know that it is committed, from the same moment.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics

import machine
from common_work import SIZE
from rows import PARTIAL

import perdure

TARGET = PARTIAL[0]
HERE = pathlib.Path(__file__).parent


def main() -> None:
    """Runs, prints, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[64, 256], help="MiB of state of each rank")
    parser.add_argument("--share", type=float, default=0.01, help="of the state that changes")
    parser.add_argument("--commits", type=int, default=7)
    parser.add_argument("--parity", type=int, default=1)
    parser.add_argument("--track-writes", action="store_true", help="the kernel says what was written")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    summary = {}
    for mb in options.mb:
        loads = [machine.busy_cores()]
        arguments = {"mb": mb, "commits": options.commits, "shares": [1.0, options.share]}
        report = perdure.run(
            f"{HERE / 'partial_work.py'}:main", ranks=SIZE, spares=0, parity=options.parity, arguments=arguments,
            settings=perdure.Settings(track_writes=options.track_writes),
        )  # fmt: skip
        print(f"\n{SIZE} ranks of {mb} MiB, parity {options.parity}; {machine.describe(loads)}")
        for name, (whole, part) in report.result.items():
            full, little = statistics.median(whole), statistics.median(part)
            print(f"  {name}: all changed {full * 1e3:.1f} ms, {options.share:.0%} {little * 1e3:.1f} ms; ratio {little / full:.3f}")
            if name == "committed":
                print(f"  target: at most {TARGET}: {'met' if little <= TARGET * full else 'missed'}")
        summary[mb] = {"times": report.result, "busy_cores": loads, "track_writes": options.track_writes}
    if options.json:
        print(json.dumps(summary))


if __name__ == "__main__":
    main()
