# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine goes and comes back: its events are followed on, none is written twice, and the gap is told."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock, jsonl
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Event, read_event
from ansible_collections.exchange.chaos.plugins.module_utils.observe import docker_events
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

from tests.unit.hostile import request_of, serving

Stream = Callable[[], Iterator[Event]]


def die(number: int) -> Event:
    return read_event(
        {
            "Action": "die",
            "timeNano": time.time_ns(),
            "Actor": {"ID": f"c{number}", "Attributes": {"exitCode": "1"}},
        }
    )


class Life:
    """Goes on until it is told to stop."""

    stopping = False


class Engines:
    """The engines of a host, one after the other: each tells a stream of events, None stands for no engine at all."""

    def __init__(self, *streams: Stream | None) -> None:
        self.streams, self.life, self.asked = list(streams), Life(), [0.0]

    def connect_for(self, _run: RunDir) -> Engines:
        if not self.streams:
            self.life.stopping = True
        if not self.streams or self.streams[0] is None:
            self.streams = self.streams[1:]
            raise Unsupported("No Docker engine answers on this host.")
        return self

    def events(self, _project: str, since: float, _actions: Sequence[str]) -> Iterator[Event]:
        self.asked.append(since)
        stream = self.streams.pop(0)
        return iter(()) if stream is None else stream()

    def inspect(self, _container_id: str) -> None:
        return None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setattr(docker_events, "_PAUSE_S", 0.01)
    began = vars(clock.take_anchor())
    anchor = {**began, "boottime": began["boottime"] - 30, "realtime": began["realtime"] - 30}
    write_json(tmp_path / "spec.json", {"anchor": anchor, "project": "lab"})
    return RunDir(tmp_path)


def follow(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, *streams: Stream | None
) -> tuple[list[str], Engines]:
    """Follow these engines to the end; returns what was said of why it ended, and the engines."""
    engines, said = Engines(*streams), list[str]()
    monkeypatch.setattr(docker_events, "DockerEngine", engines)
    follower = docker_events.EventFollower(run, jsonl.Writer(run.file("engine.jsonl")), engines)  # type: ignore[arg-type]
    thread = threading.Thread(target=docker_events._follow_or_tell, args=(follower, engines.life, said))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    follower.end()
    return said, engines


def seen(run: RunDir) -> list[str]:
    return [line["id"] for line in jsonl.read_lines(run.file("engine.jsonl"))]


def broken(*events: Event, by: BaseException | None) -> Stream:
    """A stream that ends after these events, by the end of the connection or by an error."""

    def tell() -> Iterator[Event]:
        yield from events
        if by is not None:
            raise ChaosError("The Docker engine would not follow its events: gone.") from by

    return tell


@pytest.mark.parametrize("by", [None, ConnectionResetError("reset"), TimeoutError("half an event")])
def test_an_engine_that_was_restarted_is_followed_on_and_the_gap_is_told(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, by: BaseException | None
) -> None:
    first, second = die(1), die(2)
    said, engines = follow(
        run, monkeypatch, broken(first, by=by), None, None, broken(first, second, by=by), broken(by=by)
    )
    assert said == []
    assert seen(run) == ["c1", "c2"], "what is told twice is written once"
    assert engines.asked[2] == pytest.approx(time.time(), abs=10), "asked from where the last one stopped"
    timeline = run.read_timeline()
    gaps = timeline.unseen
    assert len(gaps) == 3
    assert all(0.0 < until - since < 5.0 for since, until in gaps)
    (text, *_more) = [event["text"] for event in timeline.log_lines]
    assert text.startswith("The engine's events were not seen for 0.")


def test_an_engine_whose_answers_are_none_is_not_asked_for_ever(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, _engines = follow(
        run, monkeypatch, broken(die(1), by=ValueError("no event")), broken(die(2), by=None)
    )
    assert said == ["The Docker engine would not follow its events: gone."]
    assert seen(run) == ["c1"]
    assert len(run.read_timeline().unseen) == 1


def test_more_events_than_any_run_has_are_not_followed_on(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_events.bounds, "ENGINE_EVENTS", 100)
    said, _engines = follow(run, monkeypatch, broken(die(1), die(2), by=None), broken(die(3), by=None))
    assert said == ["The engine's events are more than 100 bytes."]
    assert seen(run) == ["c1", "c2"]


def test_an_engine_that_goes_on_ending_its_streams_is_asked_more_and_more_seldom(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(docker_events.time, "sleep", slept.append)
    monkeypatch.setattr(docker_events, "_PAUSE_S", 0.25)
    follow(run, monkeypatch, *[broken(by=None)] * 9)
    assert slept[:7] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_an_event_that_a_full_disk_refuses_is_asked_for_again(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = die(1), die(2)
    real, refused = jsonl.Writer.write, [OSError(errno.ENOSPC, "No space left on device")]

    def write(self: jsonl.Writer, *items: Any) -> None:
        if refused and "id" in items[0] and items[0]["id"] == "c2":
            raise refused.pop()
        real(self, *items)

    monkeypatch.setattr(jsonl.Writer, "write", write)
    said, _engines = follow(run, monkeypatch, broken(first, second, by=None), broken(first, second, by=None))
    assert said == []
    assert seen(run) == ["c1", "c2"]


@pytest.mark.parametrize("last", [b"", b"5\r\n{", b"0\r\n\r\n"])
def test_a_stream_that_a_restart_cuts_is_lost_and_no_answer_that_is_none(
    tmp_path: Path, run: RunDir, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    told = json.dumps(
        {"Action": "die", "timeNano": time.time_ns(), "Actor": {"ID": "c1", "Attributes": {}}}
    ).encode()

    def answer(connection: socket.socket) -> None:
        while head := request_of(connection):
            if b"/events" in head.split(b" ")[1]:
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                connection.sendall(b"%x\r\n%s\n\r\n" % (len(told) + 1, told) + last)
                return
            data = json.dumps({"Version": "26.1.5", "ApiVersion": "1.45", "Components": []}).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))

    with serving(answer, tmp_path / "d.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        follower = docker_events.EventFollower(
            run, jsonl.Writer(run.file("engine.jsonl")), docker_events.DockerEngine.connect(timeout=2)
        )
        follower.follow()
        follower.end()
    assert seen(run) == ["c1"]
    assert len(run.read_timeline().unseen) == 1
