# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setup's role decides on a host, played by Ansible: what it brings follows from what the host says of itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

#: Distribution, family, major version, Python → manager and packages wanted, or words of the refusal.
KINDS = [
    ("Debian", "Debian", "12", "3.11", "apt python3-bpfcc"),
    ("Ubuntu", "Debian", "24", "3.12", "apt python3-bpfcc"),
    ("RedHat", "RedHat", "9", "3.9", "dnf python3-bcc"),
    ("Rocky", "RedHat", "10", "3.12", "dnf python3-bcc"),
    ("RedHat", "RedHat", "8", "3.9", "dnf "),
    ("AlmaLinux", "RedHat", "8", "3.11", "dnf "),
    ("Fedora", "RedHat", "41", "3.13", "dnf python3-bcc"),
    ("Debian", "Debian", "10", "3.9", "runs Debian 10, which setup does not know"),
    ("Debian", "Debian", "sid", "3.13", "runs Debian sid, which setup does not know"),
    ("CentOS", "RedHat", "7", "3.9", "runs CentOS 7, which setup does not know"),
    ("SLES", "Suse", "15", "3.11", "runs SLES 15, which setup does not know"),
    ("Ubuntu", "Debian", "22", "3.8", "Python 3.8, on this; 3.9 or later is needed"),
]


def played(
    folder: Path, inventory: dict[str, Any], play: dict[str, Any], *options: str
) -> subprocess.CompletedProcess[str]:
    """Play one play from a folder of its own, with this checkout's collection."""
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *options],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_FORKS": "10",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def here(tasks: str, **variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inventory and the play that run one file of the role's tasks on this machine."""
    role = {"name": "exchange.chaos.host", "tasks_from": tasks}
    inventory = {
        "all": {
            "hosts": {"this": {}},
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        }
    }
    task = {"ansible.builtin.include_role": role, "vars": variables}
    return inventory, {"hosts": "all", "gather_facts": False, "tasks": [task]}


def test_what_is_brought_follows_from_the_hosts_facts(tmp_path: Path) -> None:
    """One play of the role's own decision over hosts that only say what they are."""
    hosts = {}
    for number, (distribution, family, major, python, _expected) in enumerate(KINDS):
        version = dict(zip(("major", "minor"), map(int, python.split("."))))
        facts = {"distribution": distribution, "os_family": family, "distribution_major_version": major}
        facts |= {
            "distribution_version": major,
            "python": {"executable": "/usr/bin/python3", "version": version},
        }
        hosts[f"kind{number}"] = {"kind": facts}
    inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "exchange.chaos.host",
                    "tasks_from": "distribution",
                    "public": True,
                },
                "vars": {"ansible_facts": "{{ kind }}"},
            },
            {"ansible.builtin.debug": {"msg": "WANTS {{ __host_manager }} {{ __host_wanted | join(' ') }}."}},
        ],
    }
    done = played(tmp_path, inventory, play)
    for number, (*_kind, expected) in enumerate(KINDS):
        lines = "".join(part for part in re.split(r"(?=^(?:ok|fatal): )", done.stdout, flags=re.MULTILINE)
                        if part.startswith((f"ok: [kind{number}]", f"fatal: [kind{number}]")))  # fmt: skip
        told = " ".join(lines.replace(f"kind{number}", "this").split())
        wanted = f"WANTS {expected}." if expected.startswith(("apt", "dnf")) else expected
        assert wanted in told, f"{KINDS[number]}: {told[-1500:]}\n{done.stderr}"


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="asks a package manager what there is")
def test_libraries_that_nothing_brings_are_refused(tmp_path: Path) -> None:
    """Without bcc a run goes on, without them none does."""
    wanted = {"__host_manager": "apt", "__host_bcc": ["no-bcc"], "__host_library_packages": ["no-sdk"]}
    given = {"host_libraries": "distribution", "host_offline": True, **wanted}
    done = played(tmp_path, *here("packages", **given), "--check")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0, said
    assert "this lacks no-sdk, and nothing is downloaded there (host_offline)" in said
    done = played(tmp_path, *here("packages", **{**given, "host_libraries": "wheels"}), "--check")
    assert done.returncode == 0, done.stdout


@pytest.mark.full
@pytest.mark.parametrize("foreign", [False, True])
def test_of_the_folder_of_runs_only_what_is_ours_is_taken_away(tmp_path: Path, foreign: bool) -> None:
    state = tmp_path / "state"
    for name in ("runs", "locks", "records"):
        (state / name).mkdir(parents=True)
    (state / "contention.lock").touch()  # of a disk that was saturated by an earlier version
    if foreign:
        (state / ".kept").write_text("another's")
    done = played(tmp_path, *here("remove_state", host_state_dir=str(state)))
    assert done.returncode == 0, done.stdout
    assert state.exists() == foreign
    assert not foreign or [path.name for path in state.iterdir()] == [".kept"]
