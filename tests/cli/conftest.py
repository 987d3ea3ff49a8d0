"""Hosts for the tests beside it."""

from perdure.testing.fixtures import hosts

__all__ = ["hosts"]
