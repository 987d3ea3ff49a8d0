"""A reader who follows a page of docs/ in an empty folder gets what the page shows."""

from __future__ import annotations

import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from perdure.testing.hosts import Hosts
from tests.docs.pages import DOCS, ERROR, OUTPUTS, Block, blocks, is_quoted, pages

TIMEOUT_S = 240.0
PAGES = pages()
EXAMPLES = DOCS.parent / "examples"
SSH = """#!/bin/sh
for word; do host=$command; command=$word; done
address=$(getent hosts "$host" | cut -d' ' -f1)
exec {shell} "$command"
"""
"""Reaches a namespaced host by its name."""

Steps = list[tuple[Block, list[Block]]]
MakeHosts = Callable[[int], Hosts]


def steps(page: pathlib.Path) -> Steps:
    """Return each block of a page that is written or run, with the blocks that quote its output."""
    found: Steps = []
    for block in blocks((DOCS / page).read_text(encoding="utf-8")):
        if block.kind not in OUTPUTS or block.is_file:
            found.append((block, []))
        else:
            assert found, f"{page}:{block.line}: this block quotes the output of nothing"
            found[-1][1].append(block)
    return found


def has_marks(page: pathlib.Path) -> bool:
    return any(block.mark for block, _ in steps(page))


def rewrite(page: pathlib.Path, quote: Block, line: str) -> None:
    path = DOCS / page
    path.write_text(path.read_text(encoding="utf-8").replace(f"\n{quote.body}```", f"\n{line}\n```", 1), encoding="utf-8")


class Reader:
    """Follows pages in a folder, and on five hosts where a page wants them."""

    def __init__(self, folder: pathlib.Path, make_hosts: MakeHosts | None = None, *, rewrites: bool = False) -> None:
        """Without `make_hosts`, leave out the blocks that have a mark. With `rewrites`, renew quotes of one line, such as an error."""
        self._folder, self._make_hosts, self._rewrites = folder / "page", make_hosts, rewrites
        self._folder.mkdir()
        self._hosts: Hosts | None = None
        path = f"{folder}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "COLUMNS": "140"}

    def follow(self, page: pathlib.Path) -> None:
        if "examples/" in (DOCS / page).read_text(encoding="utf-8"):
            (self._folder / "examples").symlink_to(EXAMPLES)
        for block, quotes in steps(page):
            place = f"{page}:{block.line}"
            if block.is_file:
                assert not quotes, f"{place}: a file has no output"
                (self._folder / str(block.title)).write_text(block.body, encoding="utf-8")
            elif not block.mark or self._make_hosts is not None:
                assert block.kind in ("python", "bash"), f"{place}: a block of this kind cannot be run: {block.kind}"
                status, output = self._run(block)
                fails = any(ERROR in quote.body for quote in quotes)
                assert (status != 0) == fails, f"{place}: exit status {status}\n{output}"
                for quote in quotes:
                    if self._rewrites and quote.body.count("\n") == 1 and not is_quoted(quote.body, output):
                        rewrite(page, quote, output.splitlines()[-1])
                        continue
                    assert is_quoted(quote.body, output), f"{page}:{quote.line}: the output is another one:\n{output}"

    def _run(self, block: Block) -> tuple[int, str]:
        """Run a block, and return its exit status and its output, standard error included."""
        command = ["bash", "-euc", block.body] if block.kind == "bash" else [sys.executable, "-c", block.body]
        popen = self._five_hosts()[0].popen if block.mark == "on hosts" else subprocess.Popen
        with popen(
            ["env", "-C", str(self._folder), *command],
            env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                output, _ = process.communicate(timeout=TIMEOUT_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)  # perdure ends all of its processes
                raise
        return process.returncode, output

    def _five_hosts(self) -> Hosts:
        """Return a host for the reader, and h1 to h5."""
        if self._hosts is None:
            assert self._make_hosts is not None
            self._hosts = self._make_hosts(6)
            names = self._folder.parent / "names"
            names.write_text("".join(f"{host.address} h{number}\n" for number, host in enumerate(self._hosts)), encoding="utf-8")
            for host in self._hosts:
                host.run(["mount", "--bind", str(names), "/etc/hosts"])
            ssh = self._folder.parent / "ssh"
            shell = " ".join(shlex.quote(word).replace("{host}", "'\"$address\"'") for word in self._hosts.shell)
            ssh.write_text(SSH.format(shell=shell), encoding="utf-8")
            ssh.chmod(0o755)
        return self._hosts


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_can_be_followed(page: pathlib.Path, tmp_path: pathlib.Path, rewrites: bool) -> None:
    """`--rewrite` renews the errors that pages quote."""
    Reader(tmp_path, rewrites=rewrites).follow(page)


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if has_marks(page)], ids=str)
def test_a_page_can_be_followed_to_the_letter(page: pathlib.Path, tmp_path: pathlib.Path, hosts: MakeHosts) -> None:
    Reader(tmp_path, hosts).follow(page)


def test_the_pages_with_commands_are_found() -> None:
    assert {"tutorial.md", "from_mpi4py.md", "traps.md", "cheat_sheet.md", "hosts.md", "howto/repeated.md"} <= {str(page) for page in PAGES}


def test_a_quote_is_compared_line_by_line() -> None:
    output = "one\n   2 of 3\nfour\n"
    assert is_quoted("one\n2 of ...\n", output)
    assert is_quoted("four\n", output)
    assert not is_quoted("four\none\n", output)
    assert not is_quoted("fou\n", output)
    assert not is_quoted("one\none\n", output)
