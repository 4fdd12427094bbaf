# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project is taken for the whole host, whatever state folder; and a state folder is ours, or is not used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.run import claims
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir, attach_run

ROOT = Path(__file__).resolve().parents[3]
_KEEPER = f"""
import sys, time
sys.path.insert(0, {str(ROOT / ".collections")!r})
from ansible_collections.exchange.chaos.plugins.module_utils.run import claims
held = claims.hold_claim(sys.argv[3], sys.argv[4])
print("ready", flush=True)
time.sleep(60)
"""
PROJECT = f"lab-{os.getpid()}"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A run in another state folder, with a keeper of its own runtime."""
    run = tmp_path / "another" / "runs" / "exp-02-other"
    run.mkdir(parents=True)
    (run / "chaos.pyz").write_text(_KEEPER)
    process = subprocess.Popen(
        [sys.executable, f"{run}/chaos.pyz", "watchdog", str(run), PROJECT, "exp-02-other"],
        stdout=subprocess.PIPE,
    )
    # sys.argv as the real one has it: the project is no word of the command there
    assert process.stdout is not None
    process.stdout.readline()
    yield run
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_run_in_another_state_folder_holds_the_project(kept: Path) -> None:
    (claim,) = claims.find_claims(PROJECT)
    assert (claim.run_id, claim.folder, claim.user) == ("exp-02-other", kept, os.geteuid())
    with (
        pytest.raises(
            ChaosError, match=rf"taken by run exp-02-other of user {os.geteuid()} in {kept.parent.parent}"
        ),
        claims.claim_opening(PROJECT),
    ):
        pytest.fail("it was opened")
    assert claims.find_claims(f"{PROJECT}-other") == []


def test_the_claim_goes_with_its_process(tmp_path: Path, kept: Path) -> None:
    (claim,) = claims.find_claims(PROJECT)
    os.kill(claim.pid, 9)
    until = time.monotonic() + 5
    while claims.find_claims(PROJECT) and time.monotonic() < until:
        time.sleep(0.02)
    with claims.claim_opening(PROJECT):
        pass


def test_of_two_who_open_at_once_one_does() -> None:
    busy = pytest.raises(ChaosError, match="being opened on this host just now")
    with claims.claim_opening(PROJECT), busy, claims.claim_opening(PROJECT):
        pytest.fail("two at once")
    with claims.claim_opening(PROJECT):
        pass


def test_a_name_that_anybody_bound_is_no_claim() -> None:
    held = claims.hold_claim(PROJECT, "exp-01-made-up")
    assert held is not None
    with held:
        assert claims.find_claims(PROJECT) == []
        with claims.claim_opening(PROJECT):
            pass


# -- whose folder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_state_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    state = StateDir(tmp_path / "open" / "state")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    if mode == 0o775 and os.geteuid() != 0 and os.getgid() == os.geteuid():
        state.require_ours()  # a private group of one's own is nobody else
        return
    for use in (
        state.require_ours,
        lambda: state.create_run_dir("exp-01-a"),
        lambda: attach_run("exp-01-a", state.root),
    ):
        with pytest.raises(
            ChaosError, match=f"{tmp_path / 'open'} can be written by others; set chaos_state_dir"
        ):
            use()
    assert not state.root.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root")
def test_a_state_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "anna"
    home.mkdir(mode=0o755)
    os.chown(home, 65534, 65534)
    with pytest.raises(ChaosError, match="anna belongs to user 65534"):
        StateDir(home / "state").require_ours()
    (tmp_path / "link").symlink_to(home)
    with pytest.raises(ChaosError, match="anna belongs to user 65534"):
        StateDir(tmp_path / "link" / "state").require_ours()


def test_a_file_is_no_state_folder() -> None:
    with pytest.raises(ChaosError, match="/etc/passwd is no folder"):
        StateDir("/etc/passwd").require_ours()


def test_a_folder_of_ours_is_used(tmp_path: Path) -> None:
    StateDir(tmp_path / "state").require_ours()
    assert StateDir(tmp_path / "state").create_run_dir("exp-01-a").path.is_dir()
    StateDir(tmp_path / "state").require_ours()
