"""make test-vm: what is missing is installed, the tests of this folder run, and what they print is kept.

Usage: python -m tests.vm.run [--keep] [PYTEST OPTION...]

docs/test-vm.txt holds the raw output with commit and date: of a whole run, or, with options of pytest (-k 05), of one
more piece, added below the others. --keep leaves the machine up for the next piece, standing still; a whole run starts
from a new disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from tests.bench.machine import run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "test-vm.txt"
#: What the machine is made with and runs on, by Debian's package.
NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "sfdisk": "fdisk",
    "ssh": "openssh-client",
}


def install() -> None:
    """Install what is missing. Raises BenchError with what apt said."""
    packages = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if packages:
        run("apt-get", "update", "--quiet")
        run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages)


def commit() -> str:
    """The commit that is tested; -dirty where files differ from it, but for the page itself."""
    name = run("git", "-C", ROOT, "rev-parse", "--short=12", "HEAD").strip()
    changed = run("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no").split("\n")
    return name + (
        "-dirty" if any(line and not line.endswith("docs/test-vm.txt") for line in changed) else ""
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave the machine up")
    options, more = parser.parse_known_args()
    if os.geteuid() != 0:
        sys.exit("make test-vm needs root, to make the machine's disk.")
    install()
    environment = {
        **os.environ,
        "VM_KEEP": "1" if options.keep else "0",
        "VM_FRESH": "0" if more else "1",
    }
    now = datetime.now(timezone.utc)
    qemu = run("qemu-system-x86_64", "--version").splitlines()[0]
    head = f"make test-vm{' ' if more else ''}{' '.join(more)}: commit {commit()}, {now:%Y-%m-%d %H:%M} UTC, {qemu}"
    command = [
        *(sys.executable, "-m", "pytest", "tests/vm/test_vm.py", "-v", "-s", "--tb=short", "--no-header"),
        *("-p", "no:cacheprovider", *more),
    ]
    with PAGE.open("a" if more and PAGE.exists() else "w") as page:
        page.write(f"{'=' * len(head)}\n{head}\n{'=' * len(head)}\n")
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1, errors="replace",
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                told = line.replace(str(ROOT), ".").rstrip()  # where this checkout lies is nobody's business
                print(told, flush=True)
                page.write(f"{told}\n")
                page.flush()
        page.write("\n")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
