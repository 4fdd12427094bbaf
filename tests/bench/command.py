"""The command line of what the bench brings up and takes away: `up [COUNT]` prints an inventory, `down` removes it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.machine import BenchError


def main(description: str, up: Callable[[int], Path], down: Callable[[], None], count: int) -> int:
    """Do what the command line says and return the exit code; ``up`` makes so many hosts, ``count`` without a number.

    ``up`` returns the path of their inventory, which alone goes to the standard output.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("count", nargs="?", type=int, default=count)
    options = parser.parse_args()
    begin = time.monotonic()
    try:
        if options.what == "down":
            down()
        else:
            print(up(options.count))
    except BenchError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    print(f"✓ {options.what} ({time.monotonic() - begin:.1f} s)", file=sys.stderr)
    return 0
