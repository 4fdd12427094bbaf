"""The Python of the controller's environment is found among those that are there: tools/find-python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[3] / "tools" / "find-python"


def put_python(folder: Path, name: str, *, runs: bool = True) -> Path:
    """A program that is a Python from 3.11 on, or one that is not."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {0 if runs else 1}\n")
    path.chmod(0o755)
    return path


def find(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What is found where only the folder, and what a shell needs, is in PATH; no system's own Python."""
    text = PROGRAM.read_text().replace("/usr/bin/python3 ", f"{folder}/system/python3 ")
    words = ["/bin/bash", "-c", text]
    given = {"PATH": str(folder), **environment}
    return subprocess.run(words, env=given, capture_output=True, text=True, check=False)


def test_the_systems_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    own = put_python(tmp_path / "system", "python3")
    put_python(tmp_path, "python3.13")
    assert find(tmp_path).stdout.strip() == str(own)


def test_one_too_old_or_that_does_not_run_is_passed_over_for_a_newer_beside_it(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    put_python(tmp_path / "system", "python3", runs=False)  # RHEL 9's, 3.9
    put_python(tmp_path, "python3", runs=False)  # a version manager's shim
    newer = put_python(tmp_path, "python3.12")
    put_python(tmp_path, "python3.11")
    assert find(tmp_path).stdout.strip() == str(newer)


def test_the_one_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    put_python(tmp_path, "python3.12")
    named = put_python(tmp_path, "mine")
    assert find(tmp_path, PYTHON=str(named)).stdout.strip() == str(named)
    refused = find(tmp_path, PYTHON=str(tmp_path / "nothing"))
    assert refused.returncode == 1
    assert f"looked for {tmp_path}/nothing" in refused.stderr


def test_none_is_one_sentence_with_what_to_install(tmp_path: Path) -> None:
    done = find(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "No Python from 3.11 on runs here" in done.stderr
    assert "RHEL 9 and its relatives: python3.12" in done.stderr


@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="no Python of the system's own")
def test_what_is_found_here_is_one() -> None:
    found = subprocess.run(
        [PROGRAM], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    asked = [found.stdout.strip(), "-c", "import sys; print(sys.version_info >= (3, 11))"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == "True"
