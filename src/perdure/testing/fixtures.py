"""Fixtures for pytest: `from perdure.testing.fixtures import hosts` in a conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from perdure.testing.hosts import Hosts, HostsUnavailable


@pytest.fixture
def hosts() -> Iterator[Callable[[int], Hosts]]:
    """Makes so many hosts, gone after the test. A test is skipped, with the reason, where this machine allows none."""
    made: list[Hosts] = []

    def make(count: int) -> Hosts:
        try:
            made.append(Hosts(count))
        except HostsUnavailable as error:
            pytest.skip(str(error))
        return made[-1]

    yield make
    for one in made:
        one.close()
