# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each file of a run may be a folder, a FIFO, a socket, a link or a hole: nobody hangs, nobody raises."""

from __future__ import annotations

import os
import signal
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.files import Untrusted
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import abandoned, finish, window
from ansible_collections.exchange.chaos.plugins.module_utils.run import bundle, liveness, results
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.journal import Journal

from tests.unit.scenario import Scenario

#: Those by which a run is known, and one of its samples; the others are looked at in `make test-full`.
FIRST = ("spec.json", "journal.jsonl", "timeline.jsonl", "load.jsonl", "journal.lock")
OTHERS = (
    "deadline.json", "processes/watchdog.json", "probes.jsonl", "bpf.jsonl", "histograms.jsonl", "engine.jsonl",
    "interference.jsonl", "capture.json", "ledger.json", "restore.json", "secrets.json", "reserve", "watchdog.lock",
    "shown.json", "record.json", "chaos.pyz",
)  # fmt: skip
NAMES = (*FIRST, *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS))
LOOKS: tuple[Callable[[RunDir], Any], ...] = (
    lambda run: Journal(run).open_entries(), lambda run: Journal(run).damaged(), lambda run: _hold(run),
    lambda run: run.read_deadline(), lambda run: run.of_earlier_boot, liveness.is_abandoned, liveness.lost_watchdogs,
    abandoned.has_begun, lambda run: run.read_timeline(), finish._judge, window.recent_evidence,
    lambda run: results.deliver_result(run, changed=False), bundle.pack_bundle, lambda run: run.note("x"),
)  # fmt: skip


def _hold(run: RunDir) -> None:
    with Journal(run).lock():
        pass


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _stretch(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(64 * bounds.MIB)


KINDS: dict[str, Callable[[Path], Any]] = {
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a socket": _bind,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "empty": Path.touch,
    "a hole of 64 MiB": _stretch,
}


class Hangs(BaseException):
    """Somebody waits for what never comes."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise Hangs in what is still at work then."""

    def cut(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, cut)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_nobody_hangs_or_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    Scenario().write(tmp_path)
    run = RunDir(tmp_path)
    run.file("processes").mkdir(exist_ok=True)
    run.file(name).unlink(missing_ok=True)
    KINDS[kind](Path(name))
    for look in LOOKS:
        with within(10.0), suppress(ChaosError):
            look(run)
    if name == "journal.jsonl" and kind not in ("empty", "a hole of 64 MiB"):
        assert [line[:11] for line in Journal(run).damaged()] == ["all of it: "], (
            "what nobody can undo is named"
        )


@pytest.mark.parametrize("kind", ["a FIFO", "a socket", "a folder", "a link to a device"])
def test_nothing_is_written_into_what_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    KINDS[kind](Path("lines"))
    with within(5.0), pytest.raises(OSError) as error:  # noqa: PT011 - each kind has its own errno
        jsonl.Writer(tmp_path / "lines")
    assert isinstance(error.value, Untrusted) or kind != "a FIFO"


def test_a_line_longer_than_any_is_passed_over_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LINE", 100)
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a":1}\n' + b'{"x":"' + b"9" * 500 + b'"}\n' + b'{"a":2}\n')
    assert jsonl.read_lines(path) == [{"a": 1}, {"a": 2}]
    tail = jsonl.Tail(path)
    found = [line for _ in range(30) for line in tail.poll(10)]
    assert found == [{"a": 1}, {"a": 2}]
    assert tail.offset == path.stat().st_size


def test_a_poll_with_a_limit_takes_at_least_one_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    long = {"x": "9" * 500}
    jsonl.Writer(path).write(long, {"a": 2})
    tail = jsonl.Tail(path)
    assert [tail.poll(10), tail.poll(10), tail.poll(10)] == [[long], [{"a": 2}], []]


def test_samples_are_packed_as_they_are_read(tmp_path: Path) -> None:
    """Of 200 MiB of samples no more than a few are in memory at a time."""

    Scenario().write(tmp_path)
    with (tmp_path / "load.jsonl").open("wb") as stream:
        stream.truncate(200 * bounds.MIB)
    tracemalloc.start()
    bundle.pack_bundle(RunDir(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * bounds.MIB
