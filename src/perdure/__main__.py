"""The command `perdure`, which is also `python -m perdure`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The entry point. What it needs takes a few tenths of a second to import; an interrupt meanwhile is one like any other."""
    try:
        from perdure.cli import main as command
    except KeyboardInterrupt:
        print("perdure: interrupted; nothing had been started", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
