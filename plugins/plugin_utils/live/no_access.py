# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong before any of our code ran on a host, in a sentence with what to set: SSH, Python, sudo, its folders.

Source of the words: ansible-core (plugins/action, plugins/connection, module_utils/common/json.py), OpenSSH's own
(sshconnect.c), nologin(8), and sudo's own (plugins/sudoers/auth/sudo_auth.c, check.c, logging.c) as it says them in
English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..words import escape_line

#: So much is shown of what a Python printed instead of an answer.
_FIRST_CHARS = 160
#: What a result has of a host that a run lost: fleet/unreachable.py.
UNREACHABLE = "chaos_unreachable"
#: What Ansible says when a module's answer is none.
_NO_ANSWER = ("No start of json char found", "Module result deserialization failed")
_TO_ROOT = "or set chaos_become: false to run as a user of the docker group, with less to see"
_PYTHON = "name one of 3.9 or later by ansible_python_interpreter, such as /usr/bin/python3.11"
#: What is said of the way in, to root and of the folder for modules, the surer first, and what it means.
_SAID = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "The host shows another SSH key than the one that is known of it: if it was set up anew, forget the old one by "
        "ssh-keygen -R HOST and log in once by hand to see the new; else somebody stands between.",
    ),
    (
        r"Host key verification failed|Host key checking",
        "The host's SSH key is not known here: log in once by hand to see it, or have its owner's ssh-keyscan in "
        "known_hosts.",
    ),
    (
        r"Failed to connect to the host via ssh[\s\S]*Permission denied \(",
        "The host lets this user in by none of the ways that were tried: check ansible_user and "
        "ansible_ssh_private_key_file, or add --ask-pass.",
    ),
    (
        r"[Tt]his account is currently not available",
        "This user may not log in on this host (its shell is nologin): name another by ansible_user.",
    ),
    (
        r"'(?:type|ABCMeta)' object is not subscriptable|requires a minimum of Python version"
        r"|AnsiballZ_\w+\.py\", line \d+[\s\S]*SyntaxError",
        f"The Python that Ansible found on this host is too old: {_PYTHON}.",
    ),
    (
        r"module interpreter '[^']*' was not found|No python interpreters found",
        f"There is no Python on this host where ansible_python_interpreter says: install one there, or {_PYTHON}.",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "Ansible's folder for modules on this host is full: make room there, or name another by ansible_remote_tmp, "
        "such as /var/tmp/.ansible-USER.",
    ),
    (
        r"must have a tty to run sudo",
        "sudo on this host wants a terminal (requiretty in /etc/sudoers), which Ansible has none of: write "
        "'Defaults:USER !requiretty' there, or set ansible_pipelining: false for the host, so that SSH brings one.",
    ),
    (
        r"Incorrect (?:sudo|su|doas) password|\d+ incorrect password attempts?|Sorry, try again",
        "The become password is wrong: give this host's by --ask-become-pass or ansible_become_password.",
    ),
    (
        r"a password is required|Missing (?:sudo|su|doas) password|no password was provided",
        "sudo on this host wants a password, and none was given: add --ask-become-pass, allow this user sudo without "
        f"one (NOPASSWD), {_TO_ROOT}.",
    ),
    (
        r"is not in the sudoers file|may not run sudo|is not allowed to (?:execute|run)",
        "This user may not become root by sudo on this host: allow it there, log in as another by ansible_user, "
        f"{_TO_ROOT}.",
    ),
    (
        r"\b(?:sudo|doas|su): (?:command )?not found|waiting for become success[\s\S]*not found",
        "There is no sudo on this host, by which Ansible becomes root: install it, name another way by "
        f"ansible_become_method, log in as root, {_TO_ROOT}.",
    ),
    (
        r"Failed to create temporary directory",
        "Ansible cannot make its folder for modules on this host: name one that this user can write by "
        "ansible_remote_tmp, such as /var/tmp/.ansible-USER.",
    ),
    (
        r"failed to map segment from shared object|cannot (?:execute|run).*(?:Permission denied|noexec)",
        "The folder for modules or libraries on this host may not hold programs (noexec): name another by "
        "ansible_remote_tmp.",
    ),
)  # fmt: skip


def explain_access(result: Mapping[str, Any]) -> str:
    """Return the sentence for a failure that comes before any of our code; empty for another.

    What our own modules answer has ``chaos_lines``, and says by itself what is wrong; so does what is told of a host
    that a run lost.
    """
    if "chaos_lines" in result or UNREACHABLE in result:
        return ""
    said = [str(result.get(key) or "") for key in ("msg", "module_stdout", "module_stderr", "exception")]
    known = next((sentence for words, sentence in _SAID if re.search(words, "\n".join(said))), "")
    if known:
        return known
    if not any(words in said[0] for words in _NO_ANSWER):
        return ""
    printed = next((text for text in said[1:] if text), "")
    first = next((line for line in map(escape_line, printed.splitlines()) if line.strip()), "nothing at all")
    return (
        f"The Python that Ansible found on this host ran no module of ours; it printed: {first[:_FIRST_CHARS]}. "
        "Name one that runs by ansible_python_interpreter, such as /usr/bin/python3, or the Python of a version "
        "manager by its full path instead of its shim."
    )
