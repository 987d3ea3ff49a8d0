"""Runs mpi4py's own test suite against `perdure.MPI`, and says what passed, failed, or does not apply and why.

    python tests/conformance/run_mpi4py_suite.py --ranks 1 3 4 [--only test_p2p_buf test_request] [--folder build/conformance]

The source distribution of mpi4py is fetched by pip into the build folder, which git ignores; nothing of it is installed or committed. Each
file runs as a program of a job of its own, so a test that ends a rank takes only its file with it. Under `perdure run` this file is itself
the program: with `MPI4PY_FILE` set, `main` runs that one file on its rank.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import types
import unittest
from typing import Any

VERSION = "4.1.2"
BADNESS = ("passed", "skipped", "failed")
FILE_TIMEOUT_S = 240.0
"""Of one file with one number of ranks; what takes longer counts as failed."""
AREAS = [
    "test_attributes", "test_buffer", "test_cco_buf", "test_cco_nb_buf", "test_cco_nb_vec", "test_cco_ngh_buf", "test_cco_ngh_obj",
    "test_cco_obj", "test_cco_pr_buf", "test_cco_pr_ngh_buf", "test_cco_pr_vec", "test_cco_vec", "test_comm", "test_comm_topo",
    "test_datatype", "test_environ", "test_errhandler", "test_errorcode", "test_exceptions", "test_grequest", "test_group", "test_info",
    "test_msgspec", "test_msgzero", "test_objmodel", "test_op", "test_p2p_buf", "test_p2p_buf_matched", "test_p2p_obj",
    "test_p2p_obj_matched", "test_pack", "test_pickle", "test_request", "test_status", "test_subclass", "test_threads",
    "test_util_pkl5",
]  # fmt: skip
LEFT_OUT = {
    "test_address": "MPI.Get_address of one-sided communication",
    "test_cco_buf_inter": "intercommunicators", "test_cco_obj_inter": "intercommunicators", "test_cco_vec_inter": "intercommunicators",
    "test_comm_inter": "intercommunicators", "test_dynproc": "dynamic processes", "test_spawn": "dynamic processes",
    "test_file": "files", "test_io": "files", "test_rma": "one-sided", "test_rma_nb": "one-sided", "test_win": "one-sided",
    "test_session": "sessions", "test_ulfm": "perdure recovers by itself", "test_p2p_buf_part": "partitioned communication",
    "test_cffi": "mpi4py's C interface", "test_ctypes": "mpi4py's C interface", "test_mpiapi": "mpi4py's C interface",
    "test_mpiabi": "mpi4py's C interface", "test_mpimem": "mpi4py's C interface", "test_handle": "mpi4py's C interface",
    "test_package": "mpi4py's package", "test_toplevel": "mpi4py's package", "test_doc": "mpi4py's docstrings",
    "test_util_dtlib": "internals of mpi4py's own module",
    "test_util_pool": "intercommunicators", "test_util_sync": "one-sided",
}  # fmt: skip
NOT_APPLICABLE = json.loads((pathlib.Path(__file__).parent / "not_applicable.json").read_text())
"""Pattern of `file.Class.test` -> why perdure has no such thing."""


def fetch(folder: pathlib.Path) -> pathlib.Path:
    """The tests of mpi4py's source distribution, unpacked."""
    tests = folder / f"mpi4py-{VERSION}" / "test"
    if not tests.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", "mpi4py", "--no-deps", "-d", str(folder)]
        subprocess.run([*command, f"mpi4py=={VERSION}"], check=True)
        with tarfile.open(folder / f"mpi4py-{VERSION}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return tests


def prepare() -> None:
    """What the tests expect of `mpi4py`, which `perdure run` lends, and what they reach into."""
    import mpi4py
    from mpi4py.util import pkl5

    mpi4py.rc(recv_mprobe=False)
    pkl5._BigMPI = types.SimpleNamespace  # type: ignore[attr-defined]  # mpi4py's own, for long messages; the tests lower its `blocksize`
    pkl5._bigmpi = pkl5._BigMPI(blocksize=0)  # type: ignore[attr-defined]
    sys.modules |= {"cupy": None, "numba": None}  # type: ignore[dict-item]  # their tests need a device


class Notes(unittest.TestResult):
    """Every test's outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, tuple[str, str]] = {}

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.outcomes[test.id()] = ("passed", "")

    def addError(self, test: Any, err: Any) -> None:
        self.outcomes[test.id()] = ("failed", self._exc_info_to_string(err, test))

    def addFailure(self, test: Any, err: Any) -> None:
        self.outcomes[test.id()] = ("failed", self._exc_info_to_string(err, test))

    def addSkip(self, test: Any, reason: str) -> None:
        self.outcomes[test.id()] = ("skipped", reason)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.outcomes[test.id()] = ("failed", f"{subtest._subDescription()}\n{self._exc_info_to_string(err, test)}")


def main(job: Any) -> None:
    """The program: one file of tests, on every rank."""
    folder, name = os.path.split(os.environ["MPI4PY_FILE"])
    sys.path.insert(0, folder)
    prepare()
    notes = Notes()
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
    suite.run(notes)
    everyone = job.comm.gather(notes.outcomes)
    if everyone is not None:
        print("OUTCOMES " + json.dumps(everyone), flush=True)


def run_file(tests: pathlib.Path, name: str, ranks: int) -> dict[str, tuple[str, str]]:
    """Test -> its worst outcome over the ranks."""
    command = [sys.executable, "-m", "perdure", "run", __file__, "--ranks", str(ranks), "--spares", "0", "--parity", "0"]
    try:
        done = subprocess.run(
            command, env={**os.environ, "MPI4PY_FILE": str(tests / name)}, capture_output=True, text=True, timeout=FILE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {f"{name}.all": ("failed", f"did not end in {FILE_TIMEOUT_S:.0f} s")}
    line = next((line for line in done.stdout.splitlines() if line.startswith("OUTCOMES ")), None)
    if line is None:
        return {f"{name}.all": ("failed", done.stderr[-2000:] + done.stdout[-2000:])}
    worst: dict[str, tuple[str, str]] = {}
    for theirs in json.loads(line.removeprefix("OUTCOMES ")):
        for test, (outcome, text) in theirs.items():
            if test not in worst or BADNESS.index(outcome) > BADNESS.index(worst[test][0]):
                worst[test] = (outcome, text)
    return {test: _judged(test, *found) for test, found in worst.items()}


def _judged(test: str, outcome: str, text: str) -> tuple[str, str]:
    """A test that asks for what perdure has not does not apply; a reason is on record for each, or the failure itself says so."""
    if outcome == "passed":
        return outcome, text
    if "perdure does not support" in text or "device cannot be sent" in text:
        return "not applicable", text.strip().splitlines()[-1]
    reason = next((reason for pattern, reason in NOT_APPLICABLE.items() if fnmatch.fnmatch(test, pattern)), None)
    if reason is not None:
        return "not applicable", reason
    return ("not applicable", f"skipped by mpi4py: {text}") if outcome == "skipped" else (outcome, text)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 3, 4])
    parser.add_argument("--only", nargs="+", default=AREAS)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("build/conformance"))
    parser.add_argument("--verbose", action="store_true", help="with the tracebacks of what failed")
    return parser.parse_args()


def command() -> int:
    """Runs all files, prints the table. The status says whether anything failed."""
    options = arguments()
    tests = fetch(options.folder).resolve()
    reasons: dict[str, set[str]] = {}
    failed = 0
    for ranks in options.ranks:
        total = {"passed": 0, "failed": 0, "not applicable": 0}
        for name in options.only:
            outcomes = run_file(tests, name, ranks)
            counts = {kind: sum(outcome == kind for outcome, _ in outcomes.values()) for kind in total}
            print(f"{ranks} ranks  {name:24s}" + "".join(f"  {counts[kind]:4d} {kind}" for kind in total), flush=True)
            for test, (outcome, text) in outcomes.items():
                if outcome == "failed":
                    print(f"    FAILED {test}: " + (text if options.verbose else text.strip().splitlines()[-1]))
                elif outcome == "not applicable":
                    reasons.setdefault(text, set()).add(test)
            for kind in total:
                total[kind] += counts[kind]
        print(f"{ranks} ranks  {'together':24s}" + "".join(f"  {total[kind]:4d} {kind}" for kind in total), flush=True)
        failed += total["failed"]
    print("\nnot applicable, and why:")
    for reason, which in sorted(reasons.items()):
        print(f"  {len(which):4d}  {reason}  (e.g. {min(which)})")
    for name, reason in sorted(LEFT_OUT.items()):
        print(f"  file  {name}: {reason}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(command())
