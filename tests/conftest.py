"""What all tests share."""

from __future__ import annotations

import signal

import pytest

# A shell that starts the tests in the background has them ignore Ctrl-C, and all programs that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files and the parts of the documents that quote them anew")
    parser.addoption("--fuzz", type=int, default=20_000, metavar="N", help="how many inputs the fuzzer of the wire format makes")


@pytest.fixture
def rewrites(request: pytest.FixtureRequest) -> bool:
    """Are golden files to be written, rather than compared?"""
    return bool(request.config.getoption("--rewrite"))
