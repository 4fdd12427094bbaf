"""Programs of Debian's packages for a test, unpacked into a folder: nothing is installed, no service set up. No tests.

Another release's packages are asked for in lists of their own, so that this machine's apt stays as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "debian"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack_packages(*packages: str, release: str = "") -> Path:
    """Return a folder with the files of ``packages``, of this machine's release or another; made once, and kept.

    Skips the test where they can't be had.
    """
    if not shutil.which("apt-get"):
        pytest.skip("Debian's packages are unpacked with its own tools, which are not here")
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / hashlib.sha256(" ".join([release, *packages]).encode()).hexdigest()[:12]
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                fill(Path(scratch), packages, release)
                os.replace(Path(scratch) / "root", target)
    return target


def fill(folder: Path, packages: tuple[str, ...], release: str) -> None:
    """Download packages and unpack them below ``folder``/root."""
    options = _lists_of(folder, release) if release else []
    done = _apt(folder, *options, "download", *packages)
    if done.returncode:  # no lists yet, or so old that they name files that are gone
        _apt(folder, *options, "update")
        done = _apt(folder, *options, "download", *packages)
    if done.returncode:
        pytest.skip(f"Debian's packages {', '.join(packages)} can't be had: {done.stderr.strip()[-300:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "--extract", package, folder / "root"], check=True)


def _lists_of(folder: Path, release: str) -> list[str]:
    """apt's options for another release: sources, lists and cache in ``folder``."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    source = f"deb [signed-by={_KEYS}] http://deb.debian.org/debian {release} main\n"
    (folder / "sources.list").write_text(source)
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder,
        "Acquire::Languages": "none",
    }
    return [word for key, value in settings.items() for word in ("--option", f"{key}={value}")]


def _apt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "--quiet", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
