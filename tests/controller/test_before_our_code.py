# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong before any of our code runs is one sentence, and 00-preflight on such a machine says it, too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def preflight(inventory: Path, **environment: str) -> str:
    """Run 00-preflight against one local host and return what it shows."""
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "playbooks/00-preflight.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "300", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """A ``python3`` as a version manager lays it: it says what is wrong instead of being one."""
    path = tmp_path / "bin" / "python3"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho 'shims: python3: command not found'\nexit 127\n")
    path.chmod(0o755)
    return path


def inventory(folder: Path, more: str = "") -> Path:
    path = folder / "hosts.yml"
    path.write_text(f"exchange:\n  hosts:\n    here:\n      ansible_connection: local\n{more}")
    return path


def test_a_shim_instead_of_a_python_is_quoted_with_what_to_set(tmp_path: Path, shim: Path) -> None:
    told = preflight(inventory(tmp_path, f"      ansible_python_interpreter: {shim}\n"))
    assert (
        "it printed: shims: python3: command not found. Name one that runs by ansible_python_interpreter"
        in told
    )
    assert "json char" not in told


@pytest.mark.full
def test_hidden_answers_are_said_to_be_hidden(tmp_path: Path) -> None:
    told = preflight(inventory(tmp_path), ANSIBLE_NO_LOG="1")
    assert "hidden by no_log" in told
