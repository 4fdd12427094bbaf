"""Run make targets on a machine where nothing was installed by hand: a minimal Debian 12 with make and git.

Usage: python -m tests.bench.bare [--keep] [TARGET...]        (default: demo demo, the second one timed as such)

The machine gets a clone of this repository's HEAD, root, and this machine's way to its package archives; all else the
repository has to bring. The exit code is that of the first target that fails. Afterwards the machine is gone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.machine import Machine, build_image, run

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("make", "git", "ca-certificates")
CHECKOUT = "/root/exchange-chaos"


def clone_into(machine: Machine) -> None:
    """Clone what is committed here, and nothing else, into the machine."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "repository.bundle"
        run("git", "-C", ROOT, "bundle", "create", bundle, "HEAD")
        machine.copy_folder(Path(scratch), "/tmp/bundle")
    machine.output("git", "clone", "--quiet", "/tmp/bundle/repository.bundle", CHECKOUT)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave the machine running afterwards")
    parser.add_argument("--name", default="exchange-chaos-bare", help="the machine's name")
    parser.add_argument("targets", nargs="*", default=["demo", "demo"], metavar="TARGET")
    options = parser.parse_args()

    machine = Machine(options.name)
    code = 0
    lines = []
    try:
        begin = time.monotonic()
        machine.create(build_image("bare", PACKAGES))
        clone_into(machine)
        lines.append(f"  bare machine, clone   {time.monotonic() - begin:7.1f} s")
        for target in options.targets:
            print(f"\n── make {target}, on a bare Debian 12", flush=True)
            begin = time.monotonic()
            code = machine.stream(f"make {target}", folder=CHECKOUT)
            mark = "✓" if code == 0 else "✗"
            lines.append(f"{mark} make {target:16} {time.monotonic() - begin:7.1f} s   exit {code}")
            if code != 0:
                break
    finally:
        if not options.keep:
            machine.remove()
    print("", *lines, sep="\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
