# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is: versions compared as numbers, programs that fail taken as missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import facts


@pytest.mark.parametrize(
    ("release", "enough"),
    [("4.9.0", True), ("4.10.0-rc1", True), ("5.14.0-427.el9.x86_64", True), ("6.1.0-18-amd64", True), ("10.0", True),
     ("4.8.17", False), ("3.10.0-1160.el7", False), ("strange", False)],
)  # fmt: skip
def test_a_kernel_is_compared_by_its_numbers(release: str, enough: bool) -> None:
    assert facts.kernel_at_least(release, (4, 9)) is enough


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("version", "found"), [((3, 6, 8), None), ((3, 9, 0), "0.30")])
def test_bcc_for_a_python_that_cannot_run_the_capture_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], found: str | None
) -> None:
    pretend = (
        f"import sys, types; sys.version_info = {version}; sys.modules['bcc'] = types.SimpleNamespace("
        "__version__='0.30'); exec(sys.argv[1])"
    )
    program(tmp_path, "python3", f'exec {sys.executable} -c "{pretend}" "$2"')
    monkeypatch.setattr(facts, "SYSTEM_PYTHONS", (str(tmp_path / "python3"),))
    assert facts.bcc_version() == found
    assert facts.bcc_python() == (str(tmp_path / "python3") if found else None)


def test_compose_is_found_as_plugin_or_program_and_is_missing_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program(tmp_path, "docker", "exit 1")
    program(tmp_path, "docker-compose", "exit 1")
    assert facts.compose_version() is None
    program(tmp_path, "docker-compose", "echo 1.29.2")
    assert facts.compose_version() == "1.29.2"
    program(tmp_path, "docker", "echo 2.24.0")
    assert facts.compose_version() == "2.24.0"


def test_a_program_that_hangs_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_TIMEOUT_S", 0.3)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program(tmp_path, "docker", "exec sleep 30")
    program(tmp_path, "docker-compose", "exec sleep 30")
    assert facts.compose_version() is None


@pytest.mark.parametrize(
    ("printed", "known"),
    [
        (r"2.24.5\n", "2.24.5"),
        (r"\n  2.24.5\nA newer version is there\n", "2.24.5"),
        (r"\377\376 2.24\n", "2.24"),
        (r"\033[2J2.24\n", "2.24"),
        ("9" * 5000, "9" * 79),
        ("", None),
    ],
)
def test_what_a_program_says_of_itself_is_one_clean_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, known: str | None
) -> None:
    program = tmp_path / "docker-compose"
    program.write_text(f"#!/bin/sh\nprintf '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    said = facts._answer("docker-compose", "version", "--short")
    assert said is None if known is None else known in str(said)
    assert said is None or (said.isprintable() and len(said) <= 80)
