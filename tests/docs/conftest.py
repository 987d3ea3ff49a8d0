"""Hosts for pages on several machines."""

from perdure.testing.fixtures import hosts

__all__ = ["hosts"]
