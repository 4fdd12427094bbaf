"""Of which commit a table is: what a page of results says beside each run."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def describe_commit(*written: Path) -> str:
    """Return the commit of this tree, with ``-dirty`` where other files than those ``written`` differ from it."""
    words = ["git", "describe", "--always"]
    commit = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    others = [f":!{path.relative_to(ROOT)}" for path in written]
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ".", *others], cwd=ROOT, check=False)
    return f"{commit}{'-dirty' if changed.returncode == 1 else ''}"
