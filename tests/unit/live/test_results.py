# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed task says to people when it was not our code that failed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.live import results

NO_JSON = "Module result deserialization failed: No start of json char found"


@pytest.mark.parametrize("where", ["module_stdout", "module_stderr", "exception"])
def test_a_python_that_printed_something_else_is_quoted_with_what_to_set(where: str) -> None:
    said = results.failure_sentence(
        {"msg": NO_JSON, where: "\n\x1b[31mpyenv: python3: command not found\nmore\n"}
    )
    assert "it printed: " in said
    assert "pyenv: python3: command not found. Name one" in said
    assert "ansible_python_interpreter" in said
    assert "\x1b" not in said


def test_a_python_that_printed_nothing_is_said_to_have() -> None:
    assert "it printed: nothing at all." in results.failure_sentence({"msg": NO_JSON})


def test_what_is_hidden_is_said_to_be_hidden() -> None:
    censored: dict[str, Any] = {"censored": "the output has been hidden", "changed": False}
    assert results.is_hidden(censored)
    assert "hidden by no_log" in results.failure_sentence({**censored, "failed": True})
    assert not results.is_hidden({"msg": "the disk is full"})
    assert results.failure_sentence({"msg": "the disk is full"}) == "the disk is full"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ({"msg": NO_JSON, "module_stdout": "/bin/sh: 1: sudo: not found\r\n"}, "There is no sudo on this host"),
        ({"msg": NO_JSON, "module_stderr": "bash: line 1: sudo: command not found"}, "There is no sudo on this host"),
        ({"msg": "Task failed: Missing sudo password"}, "add --ask-become-pass"),
        ({"msg": "Premature end of stream waiting for become success.\n>>> Error\nsudo: a password is required"},
         "add --ask-become-pass"),
        ({"msg": "Task failed: Incorrect sudo password"}, "The become password is wrong"),
        ({"msg": "Premature end of stream", "module_stderr": "Sorry, try again.\nsudo: no password was provided\n"
          "sudo: 1 incorrect password attempt"}, "The become password is wrong"),
        ({"msg": NO_JSON, "module_stdout": "sudo: sorry, you must have a tty to run sudo"}, "!requiretty"),
        ({"msg": NO_JSON, "module_stderr": "trader is not in the sudoers file."}, "may not become root by sudo"),
        ({"msg": "Failed to create temporary directory. In some cases, you may have been able to authenticate …"},
         "ansible_remote_tmp"),
        ({"msg": NO_JSON, "module_stderr": "ImportError: x.so: failed to map segment from shared object"}, "noexec"),
        ({"msg": "Task failed: Module failed: 'type' object is not subscriptable"}, "is too old: name one of 3.9"),
        ({"msg": NO_JSON, "module_stderr": "Traceback (most recent call last):\nansible-core requires a minimum of "
          "Python version 3.8. Current version: 3.7.16"}, "is too old: name one of 3.9"),
        ({"msg": NO_JSON, "module_stderr": '  File "/root/.ansible/tmp/x/AnsiballZ_from_runtime.py", line 40\n    def '
          "f(\nSyntaxError: invalid syntax"}, "is too old: name one of 3.9"),
        ({"msg": "The module interpreter '/no/such/python3' was not found.",
          "module_stdout": "/bin/sh: 1: /no/such/python3: not found"}, "There is no Python on this host where"),
        ({"msg": "Failed to connect to the host via ssh: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key "
          "verification failed."}, "ssh-keygen -R"),
        ({"msg": "Failed to connect to the host via ssh: Host key verification failed."}, "is not known here"),
        ({"msg": "Failed to connect to the host via ssh: a@b: Permission denied (publickey)."}, "check ansible_user"),
        ({"msg": "Failed to create temporary directory … stdout: This account is currently not available."},
         "may not log in"),
        ({"msg": "failed to transfer file", "module_stderr": "[Errno 28] No space left on device"}, "is full"),
    ],
)  # fmt: skip
def test_what_keeps_ansible_from_the_host_is_one_sentence_with_what_to_set(
    said: dict[str, Any], remedy: str
) -> None:
    told = results.failure_sentence({**said, "failed": True})
    assert remedy in told
    assert "\n" not in told
    assert "json char" not in told
    ours = results.failure_sentence({**said, "failed": True, "chaos_lines": []})
    assert remedy not in ours
    lost = results.failure_sentence({**said, "failed": True, "chaos_unreachable": "2026-11-30T20:00:00Z"})
    assert remedy not in lost


def test_a_host_cannot_speak_for_the_controller_or_for_another_host() -> None:
    forged: dict[str, Any] = {
        "changed": True, "chaos_report": {"state": "reserved", "stem": "/home/me/other"}, "chaos_record": {},
        "chaos_lines": [{"level": "ok", "text": "all is well", "host": ""}, {"text": "so it is", "host": "h2"}, 5],
    }  # fmt: skip
    for action in ("exchange.chaos.window", "ansible.builtin.command", "", None):
        kept = results.believe_result(action, forged)
        assert set(kept) == {"changed", "chaos_lines"}
        assert kept["chaos_lines"] == [{"level": "ok", "text": "all is well"}, {"text": "so it is"}]
    assert results.believe_result("exchange.chaos.report", forged) is forged
    assert results.believe_result("exchange.chaos.window", {"changed": False}) == {"changed": False}


def test_what_a_filter_of_ours_says_stands_alone() -> None:
    said = "Host x has no address ([Errno -2] unknown); set its chaos_address"
    frame = "Task failed: Error while resolving value for 'spec': The filter plugin 'exchange.chaos.stores' failed: "
    for message in (f"{frame}{said}: {said}: [Errno -2] unknown", f"{frame}{said}", said):
        assert results.failure_sentence({"failed": True, "msg": message}) == said
    other = "Task failed: The filter plugin 'acme.x.y' failed: no"
    assert results.failure_sentence({"failed": True, "msg": other}) == other
