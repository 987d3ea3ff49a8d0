"""What does a commit cost when little of the state has changed, against one of which all has? Ratios of medians in one run.

    python benchmarks/partial.py [--mb 64 256] [--share 0.01] [--commits 15] [--parity 1] [--track-writes] [--namespaced] [--json]

Four ranks, on nodes of this machine, which read each other's memory in place, or with --namespaced on hosts of their own, between which
everything goes over TCP; the part that changes is one stretch, elsewhere in each superstep, so a block differs from two commits ago in
two stretches. "held": until the slowest rank may go on. "committed": until all ranks know that it is committed, from the same moment.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys

import machine
from common_work import SIZE
from rows import PARTIAL

import perdure
from perdure.engines.hosts import HostsEngine
from perdure.testing.hosts import Hosts

TARGET = PARTIAL[0]
HERE = pathlib.Path(__file__).parent


def main() -> None:
    """Runs, prints, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[64, 256], help="MiB of state of each rank")
    parser.add_argument("--share", type=float, default=0.01, help="of the state that changes")
    parser.add_argument("--commits", type=int, default=15)
    parser.add_argument("--parity", type=int, default=1)
    parser.add_argument("--track-writes", action="store_true", help="the kernel says what was written")
    parser.add_argument("--namespaced", action="store_true", help="each node on a host of its own (perdure.testing.hosts)")
    parser.add_argument("--hosts", nargs="+", default=[], help="the addresses of these hosts, seen from the one that this runs on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.namespaced:
        raise SystemExit(_on_hosts([word for word in sys.argv[1:] if word != "--namespaced"]))
    engine = HostsEngine(options.hosts, shell=Hosts.shell) if options.hosts else "local"
    summary = {}
    for mb in options.mb:
        loads = [machine.busy_cores()]
        arguments = {"mb": mb, "commits": options.commits, "shares": [1.0, options.share]}
        report = perdure.run(
            f"{HERE / 'partial_work.py'}:main", ranks=SIZE, spares=0, parity=options.parity, arguments=arguments, engine=engine,
            settings=perdure.Settings(track_writes=options.track_writes),
        )  # fmt: skip
        place = "over TCP" if options.hosts else "one machine"
        print(f"\n{SIZE} ranks of {mb} MiB, parity {options.parity}, {place}; {machine.describe(loads)}")
        for name, (whole, part) in report.result.items():
            full, little = statistics.median(whole), statistics.median(part)
            print(f"  {name}: all changed {full * 1e3:.1f} ms, {options.share:.0%} {little * 1e3:.1f} ms; ratio {little / full:.3f}")
            if name == "committed":
                print(f"  target: at most {TARGET}: {'met' if little <= TARGET * full else 'missed'}")
        summary[mb] = {
            "times": report.result,
            "busy_cores": loads,
            "track_writes": options.track_writes,
            "between_hosts": bool(options.hosts),
        }
    if options.json:
        print(json.dumps(summary))


def _on_hosts(arguments: list[str]) -> int:
    """This program again, on the first of the hosts."""
    with Hosts(SIZE + 1) as hosts:
        addresses = [host.address for host in list(hosts)[1:]]
        return hosts[0].popen([sys.executable, __file__, *arguments, "--hosts", *addresses]).wait()


if __name__ == "__main__":
    main()
