# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of others that is asked something costs its bound in memory and time, whatever it and its children do."""

from __future__ import annotations

import ast
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.programs import (
    Told,
    Unanswered,
    ask_program,
)

KIB = 1024
#: How to ask a program that waits for its end or for its words, without a bound on what it says.
UNBOUNDED = {
    "run",
    "check_output",
    "call",
    "check_call",
    "communicate",
    "getoutput",
    "getstatusoutput",
    "popen",
}


def ask(script: str, seconds: float = 5.0, largest: int = 64 * KIB) -> Told:
    return ask_program(["/bin/sh", "-c", script], seconds=seconds, largest=largest)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_it_says_is_told_with_its_code() -> None:
    told = ask("echo one; echo two; echo three >&2; exit 3")
    assert told == Told(3, b"one\ntwo\n", b"three\n", whole=True)
    assert told.last_words == "three"
    assert ask("echo one; exit 1").last_words == "one"
    assert ask("exit 7").last_words == "exit code 7"
    assert ask("printf '\\033[2Jred'; exit 1").last_words.isprintable()


def test_it_has_no_input_and_no_terminal() -> None:
    assert ask("cat; tty").out == b"not a tty\n"


def test_of_one_that_says_too_much_the_end_is_kept() -> None:
    tracemalloc.start()
    told = ask("head -c 50000000 /dev/zero; echo; echo the end", largest=64 * KIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not told.whole
    assert len(told.out) == 64 * KIB
    assert told.last_words == "the end"
    assert peak < 2 * KIB * KIB


@pytest.mark.parametrize(
    "script", ["yes", "yes >&2", "sleep 60", "exec >&- 2>&-; sleep 60", "sleep 60 & wait"]
)
def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path, script: str) -> None:
    begun = time.monotonic()
    noted = tmp_path / "pids"
    with pytest.raises(Unanswered, match="it took more than 1 s"):
        ask(f"echo $$ >{noted}; sleep 50 & echo $! >>{noted}; {script}", seconds=1.0)
    assert time.monotonic() - begun < 2.0
    pids = [int(word) for word in noted.read_text().split()]
    assert len(pids) == 2
    until = time.monotonic() + 2.0
    while any(map(lives, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(lives, pids))


def test_one_that_has_ended_is_not_waited_for_because_its_child_holds_the_pipe(tmp_path: Path) -> None:
    """A package's daemon inherits the pipe; it is not killed either."""
    begun = time.monotonic()
    told = ask(f"echo done; sleep 30 & echo $! >{tmp_path}/pid", seconds=20.0)
    assert told.out == b"done\n"
    assert time.monotonic() - begun < 3.0
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)
    os.kill(pid, 9)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/no/such"], "No such file"),
        (["/etc"], "Permission denied"),
        (["a\0b"], "null byte"),
        (["/bin/sh", "\0"], ""),
    ],
)
def test_one_that_cannot_be_started_is_said_in_a_clause(command: list[str], why: str) -> None:
    with pytest.raises(Unanswered, match=f"it cannot be started .*{why}"):
        ask_program(command, seconds=1.0)


def unbounded_calls(source: str) -> list[int]:
    """Return the lines that read a program's words by the standard library's own, unbounded calls."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in UNBOUNDED
        and (node.func.attr == "communicate" or getattr(node.func.value, "id", "") in ("subprocess", "os"))
    ]


def test_no_other_way_to_ask_a_program_stands_in_the_collection(root: Path) -> None:
    assert unbounded_calls("import subprocess\nsubprocess.run(['a'])\nchild.communicate()\n") == [2, 3]
    found = {
        f"{path.relative_to(root)}:{line}"
        for path in (root / "plugins").rglob("*.py")
        for line in unbounded_calls(path.read_text())
    }
    assert found == set()
