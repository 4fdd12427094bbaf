# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong before any of our code runs is one sentence, and 00-preflight on such a machine says it, too."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


PYTHON = '      ansible_python_interpreter: "{{ ansible_playbook_python }}"\n'


def preflight(inventory: Path, *, around: str = "", **environment: str) -> str:
    """Run 00-preflight against one local host and return what it shows.

    ``around``: shell words before it; what they mount nobody else sees.
    """
    words = ["ansible-playbook", "-i", str(inventory), "playbooks/00-preflight.yml"]
    if around:
        words = ["unshare", "--mount", "sh", "-ec", f"{around} {shlex.join(words)}"]
    done = subprocess.run(
        words,
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


#: Pythons that are older than what runs on a host (3.9): where a version manager or the system has them.
OLD = {"2.7": "python2.7", "3.7": "python3.7", "3.8": "python3.8"}


def find_python(version: str) -> str | None:
    """Return the path of a Python of a version, None where this machine has none."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{OLD[version]}"))
    return str(kept[0]) if kept else None


@pytest.mark.full
@pytest.mark.parametrize("version", OLD)
def test_a_python_that_is_too_old_is_said_to_be(tmp_path: Path, version: str) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    told = preflight(inventory(tmp_path, f"      ansible_python_interpreter: {python}\n"))
    (line,) = [line for line in told.splitlines() if "✗" in line]
    assert "is too old: name one of 3.9 or later by ansible_python_interpreter" in line


@pytest.mark.full
def test_no_python_where_one_was_named_is_one_sentence(tmp_path: Path) -> None:
    told = preflight(inventory(tmp_path, "      ansible_python_interpreter: /no/such/python3\n"))
    (line,) = [line for line in told.splitlines() if "✗" in line]
    assert "There is no Python on this host where ansible_python_interpreter says" in line


#: What ssh, or the shell behind it, does; the words are OpenSSH's (9.2) and nologin's. The last runs what it is given.
CHANGED = (
    "@@@@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@@@@@@@\n"
    "Host key for 10.255.0.1 has changed and you have requested strict checking.\nHost key verification failed."
)
RUNS_IT = 'for last; do :; done; exec /bin/sh -c "$last"'
SSH = {
    "finds another key": (f"echo '{CHANGED}' >&2; exit 255", "ssh-keygen -R HOST"),
    "finds a key that nobody knows": ("echo 'Host key verification failed.' >&2; exit 255", "is not known here"),
    "is not let in": (
        "echo 'trader@10.255.0.1: Permission denied (publickey,password).' >&2; exit 255", "check ansible_user"
    ),
    "meets nologin": ("echo 'This account is currently not available.'; exit 1", "may not log in on this host"),
    "is greeted": (f"echo 'Welcome to desk 7, {{\"rules\": 1}}'; {RUNS_IT}", "its owner's consent"),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("name", SSH)
def test_what_ssh_meets_is_one_sentence_with_what_to_set_and_a_greeting_is_in_nobodys_way(
    tmp_path: Path, name: str
) -> None:
    """Behind a greeting our own code runs, and says what is its to say of a host that nobody prepared."""
    script, remedy = SSH[name]
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o755)
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(
        f"exchange:\n  hosts:\n    there:\n      ansible_host: 10.255.0.1\n      ansible_ssh_executable: {ssh}\n"
        "      ansible_python_interpreter: /usr/bin/python3\n      chaos_become: false\n"
    )
    told = preflight(hosts)
    line = next(line for line in told.splitlines() if "✗" in line)
    assert remedy in line
    assert "@@" not in told


#: What sudo, or a shell without one, does where it lets nobody through; the words are sudo's own (1.9).
SUDO = {
    "wants a password": ("echo 'sudo: a password is required' >&2; exit 1", "add --ask-become-pass"),
    "wants a terminal": ("echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1", "!requiretty"),
    "refuses": ("echo 'trader is not in the sudoers file.' >&2; exit 1", "may not become root by sudo"),
    # asks as -p says, reads, and asks once more
    "had a wrong password": (
        'while [ "$1" != -p ]; do shift; done; printf %s "$2" >&2; read -r given; '
        "printf '\nSorry, try again.\n' >&2; printf %s \"$2\" >&2; read -r given; "
        "echo 'sudo: 1 incorrect password attempt' >&2; exit 1",
        "The become password is wrong",
    ),
    "is not there": ("", "There is no sudo on this host"),
}


@pytest.mark.full
@pytest.mark.parametrize("name", SUDO)
def test_a_sudo_that_lets_nobody_through_is_one_sentence_with_what_to_set(tmp_path: Path, name: str) -> None:
    script, remedy = SUDO[name]
    sudo = tmp_path / "sudo"
    if script:
        sudo.write_text(f"#!/bin/sh\n{script}\n")
        sudo.chmod(0o755)
    given = "      ansible_become_password: mistyped\n" if "wrong" in name else ""
    more = f'{PYTHON}      ansible_become_exe: "{sudo}"\n{given}'
    told = preflight(inventory(tmp_path, more), ANSIBLE_BECOME_ALLOW_SAME_USER="1")
    (line,) = [line for line in told.splitlines() if "✗" in line]
    assert remedy in line
    assert "Premature" not in told
    assert "mistyped" not in told


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system of its own, as root")
@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_a_folder_that_may_hold_no_programs_is_in_nobodys_way(tmp_path: Path, pipelining: str) -> None:
    words = f"mount -t tmpfs -o noexec none {tmp_path / 'noexec'} && exec"
    (tmp_path / "noexec").mkdir()
    more = f"{PYTHON}      ansible_remote_tmp: {tmp_path / 'noexec' / 'ansible'}\n"
    told = preflight(inventory(tmp_path, more), around=words, ANSIBLE_PIPELINING=pipelining)
    assert "READINESS of here" in told


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system of its own, as root")
def test_a_folder_that_cannot_be_written_is_named_with_the_variable(tmp_path: Path) -> None:
    words = f"mount -t tmpfs -o ro none {tmp_path / 'ro'} && exec"
    (tmp_path / "ro").mkdir()
    told = preflight(
        inventory(tmp_path, f"{PYTHON}      ansible_remote_tmp: {tmp_path / 'ro' / 'ansible'}\n"),
        around=words,
    )
    assert "Ansible cannot make its folder for modules on this host" in told
    assert "ansible_remote_tmp" in told


@pytest.mark.full
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system of its own, as root")
@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_a_folder_that_is_full_is_named_with_the_variable(tmp_path: Path, pipelining: str) -> None:
    full = tmp_path / "full"
    full.mkdir()
    words = (
        f"mount -t tmpfs -o size=16k none {full} && {{ head -c 64k /dev/zero > {full}/all || true; }}; exec"
    )
    more = f"{PYTHON}      ansible_remote_tmp: {full / 'ansible'}\n"
    told = preflight(inventory(tmp_path, more), around=words, ANSIBLE_PIPELINING=pipelining)
    assert "Ansible's folder for modules on this host is full" in told
    assert "ansible_remote_tmp" in told


@pytest.mark.full
def test_hidden_answers_are_said_to_be_hidden(tmp_path: Path) -> None:
    told = preflight(inventory(tmp_path), ANSIBLE_NO_LOG="1")
    assert "hidden by no_log" in told
