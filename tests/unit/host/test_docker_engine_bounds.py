# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's socket with a container behind it that answers with malice: bounds on bytes and on the whole time."""

from __future__ import annotations

import gzip
import json
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.host import docker_engine, docker_socket

from tests.unit.hostile import Answer, ask, ask_each, for_ever, request_of, serving

pytestmark = pytest.mark.slow

TIMEOUT_S = 1.5
_JSON = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
_RAW = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
CONTAINER = "c" * 64


def frame(data: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def engine(hostile: Answer) -> Answer:
    """An engine that is in order but where a command's output, a log or a long list is asked for."""

    def answer(connection: socket.socket) -> None:
        while True:
            head = request_of(connection)
            if not head:
                return
            path = head.split(b" ")[1]
            if b"/start" in path or b"/logs" in path or b"/info" in path:
                hostile(connection)
                return
            if b"/version" in path:
                value: dict[str, Any] = {"Version": "26.1.5", "ApiVersion": "1.45", "Components": []}
            elif path.endswith(b"/exec"):
                value = {"Id": "e" * 64}
            else:
                value = {"ExitCode": 3, "Running": False, "Pid": 0}
            data = json.dumps(value).encode()
            connection.sendall(_JSON % (b"200 OK", len(data), data))

    return answer


def ask_engine(tmp_path: Path, hostile: Answer, call: str) -> dict[str, object]:
    body = f"""
import os
docker_engine.load_sdk()
def ask(address):
    os.environ["DOCKER_HOST"] = address
    engine = docker_engine.DockerEngine.connect(timeout={TIMEOUT_S})
    found = {call}
    return [len(str(found)), str(found)[:200]]
"""
    with serving(engine(hostile), tmp_path / "docker.sock") as address:
        return ask(address, module="host", imports="docker_engine", body=body)


def endless(connection: socket.socket) -> None:
    connection.sendall(_RAW + b"\r\n")
    for_ever(connection, frame(b"x" * 16384))


def one_frame_without_end(connection: socket.socket) -> None:
    connection.sendall(_RAW + b"\r\n" + bytes([1, 0, 0, 0, 255, 255, 255, 255]))
    for_ever(connection, b"x" * 65536)


def dripping(connection: socket.socket) -> None:
    connection.sendall(_RAW + b"\r\n")
    for_ever(connection, frame(b"x"), 0.3)


def silent(connection: socket.socket) -> None:
    connection.sendall(_RAW + b"\r\n")
    for_ever(connection, b"", 0.3)


def endless_json(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": "')
    for_ever(connection, b"x" * 65536)


def dripping_json(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": "')
    for_ever(connection, b"x", 0.3)


EXECUTE = f"engine.execute({CONTAINER!r}, ['psql'], within={TIMEOUT_S})"
LOGS = f"engine.logs({CONTAINER!r}, tail=10)"


@pytest.mark.parametrize(
    ("hostile", "call", "word"),
    [
        (endless, EXECUTE, "printed more than 4 MiB"),
        (one_frame_without_end, EXECUTE, "printed more than 4 MiB"),
        (dripping, EXECUTE, "took longer than 1.5 s"),
        (silent, EXECUTE, "took longer than 1.5 s"),
        (endless, LOGS, ""),
        (one_frame_without_end, LOGS, ""),
        (dripping, LOGS, ""),
        (endless_json, "engine.data_folder()", "larger than 8 MiB"),
        (dripping_json, "engine.data_folder()", "did not answer within 1.5 s"),
    ],
)
def test_malice_costs_its_own_time_and_little_memory(
    tmp_path: Path, hostile: Answer, call: str, word: str
) -> None:
    found = ask_engine(tmp_path, hostile, call)
    assert word in str(found["answer"]), found
    assert isinstance(found["answer"], str) == bool(word), found
    assert float(str(found["seconds"])) <= TIMEOUT_S + 1.0, found
    assert float(str(found["mib"])) <= 100, found


def test_an_answer_in_order_is_read_whole(tmp_path: Path) -> None:
    def orderly(connection: socket.socket) -> None:
        connection.sendall(
            _RAW + b"\r\n" + frame(b"one\x1b[2J\n") + frame(b"two\n", 2) + frame(b"y" * 200_000)
        )

    found = ask_engine(tmp_path, orderly, EXECUTE)
    length = len(str((3, "one\ufffd[2J\ntwo\n" + "y" * 200_000)))
    assert found["answer"] == [length, str((3, "one\ufffd[2J\ntwo\n" + "y" * 200_000))[:200]]


@pytest.mark.parametrize("label", ["abc", "", None, "-1", "9" * 400, "1.5"])
def test_a_label_is_anybodys_text(label: str | None) -> None:
    labels = {docker_engine.NUMBER_LABEL: label}
    attributes: dict[str, Any] = {
        "Id": "a", "Name": "/a", "State": {}, "Config": {"Labels": labels}, "HostConfig": {},
    }  # fmt: skip
    assert docker_engine.read_container(attributes).number == 1


def plain(data: bytes, more: bytes = b"", status: bytes = b"200 OK") -> Answer:
    """An answer whole and with its length."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(data), data))

    return answer


def head_for_ever(piece: bytes, pause: float = 0.0) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for_ever(connection, piece, pause)

    return answer


def stream(*parts: bytes, then: bytes = b"", pause: float = 0.0, status: bytes = b"200 OK") -> Answer:
    """An answer without a length: what the engine streams, and what comes for ever after it."""

    def answer(connection: socket.socket) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n\r\n" % status
        connection.sendall(head + b"".join(parts))
        for_ever(connection, then, pause or 0.05 * (not then))

    return answer


def short_of_its_length(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"a": "')
    for_ever(connection, b"x", 0.3)


def hangs_up(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"a": "')


def event(**fields: Any) -> bytes:
    return json.dumps(
        {"Action": "die", "timeNano": 1, "Actor": {"ID": "c1", "Attributes": {}}, **fields}
    ).encode()


BOMB = gzip.compress(b"\0" * (64 * 1024 * 1024), 9)
INSPECT: dict[str, Any] = {"Id": CONTAINER, "Name": "/a", "State": {}, "Config": {}, "HostConfig": {}}
LISTED, EVENTS, LOOKED = (
    "engine.projects()",
    "sum(1 for _ in engine.events('lab', 0, ['die']))",
    f"engine.inspect({CONTAINER!r})",
)
CONNECT = ""
WITHIN_S = 0.8
#: What is asked, by what answer, and words of the sentence. (A wrong inspection lacks nothing but one thing.)
MALICE: dict[str, tuple[str, Answer, str]] = {
    "version, for ever": (CONNECT, stream(b'{"a": "', then=b"x" * 65536), "larger than 8 MiB"),
    "version, one byte each 0.3 s": (CONNECT, stream(b'{"a": "', then=b"x", pause=0.3), "within 0.8 s"),
    "version, no text": (CONNECT, plain(b'{"ApiVersion": {"a": 1}}'), "No Docker engine answers"),
    "version, a list": (CONNECT, plain(b"[]"), "its version is no object"),
    "head, one byte each 0.3 s": (LISTED, head_for_ever(b"x", 0.3), "within 0.8 s"),
    "head, for ever": (LISTED, head_for_ever(b"x" * 65536), "would not list the containers"),
    "length, and one byte each 0.3 s": (LISTED, short_of_its_length, "within 0.8 s"),
    "length, and hangs up": (LISTED, hangs_up, "broke off"),
    "gzip": (LISTED, plain(BOMB, b"Content-Encoding: gzip\r\n"), "encoded as gzip"),
    "deep": (LISTED, plain(b"[" * 100_000), "nests more than 64 levels"),
    "deep, behind a long text": (LISTED, plain(b'["' + b"x" * 7_000_000 + b'"' + b",[" * 100), "nests more than 64"),
    "many small values": (LISTED, plain(b"[" + b"{}," * 2_000_000 + b"{}]"), "more than any project has"),
    "many quotes": (LISTED, plain(b"[" + b'"\\"",' * 1_000_000 + b"[" * 99), "more than any project has"),
    "letters of four bytes": (LISTED, plain(b'["\xf0\x9f\x98\x80' + b"x" * 7_900_000 + b'"]'), "no object"),
    "half a surrogate": (LISTED, plain(b'[{"Labels": {"com.docker.compose.project": "\\ud83d"}}]'), "?"),
    "no UTF-8": (LISTED, plain(b'[{"Labels": {"com.docker.compose.project": "\xff\\u001b[2J"}}]'), "\ufffd\ufffd[2J"),
    "no list": (LISTED, plain(b"5"), "cannot be read (its list is no list)"),
    "labels that are none": (LISTED, plain(b'[{"Labels": 7}]'), "cannot be read (Labels is no object)"),
    "no JSON": (LISTED, plain(b"<html>"), "cannot be read"),
    "elsewhere": (LISTED, plain(b"", b"Location: http://127.0.0.1:1/\r\n", b"301 Moved"), "cannot be read"),
    "an error for ever": (EVENTS, stream(then=b"x" * 65536, status=b"500 No"), "larger than 8 MiB"),
    "an error that is no object": (LOOKED, plain(b"[]", status=b"500 No"), "cannot be read"),
    "inspection, a list": (LOOKED, plain(b"[]"), "cannot be read"),
    **{
        f"inspection, {key} {value!r}": (LOOKED, plain(json.dumps({**INSPECT, key: value}).encode()), "cannot be read")
        for key, value in (
            ("State", []), ("State", {"Pid": "1"}), ("State", {"Pid": 10**30}), ("State", {"Health": {"Log": [5]}}),
            ("Config", {"Env": 5}), ("Config", {"Healthcheck": {"Interval": "x"}}), ("Id", "../../etc"), ("Id", None),
            ("HostConfig", {"NanoCpus": "x"}), ("RestartCount", True), ("Name", ["a"]),
            ("NetworkSettings", {"Networks": {"a": 5}}), ("NetworkSettings", {"Ports": {"1/tcp": [{"HostPort": 1}]}}),
        )
    },
    "event of a gigabyte": (EVENTS, stream(b'{"a": "', then=b"x" * 65536), "larger than 1 MiB"),
    "event, one byte each 0.3 s": (EVENTS, stream(b'{"a": "', then=b"x", pause=0.3), "did not end within 0.8 s"),
    "events for ever": (EVENTS, stream(then=event(more="x" * 900_000) + b"\n"), "more than 64 MiB"),
    "event, deep": (EVENTS, stream(b"[" * 100_000 + b"\n"), "nests more than 64"),
    "event, no object": (EVENTS, stream(b"5\n"), "cannot be read"),
    "event, no time": (EVENTS, stream(event(timeNano="x") + b"\n"), "timeNano is no number"),
    "event, no actor": (EVENTS, stream(event(Actor=[1]) + b"\n"), "Actor is no object"),
    "event, no action": (EVENTS, stream(event(Action=7) + b"\n"), "Action is no text"),
}  # fmt: skip


@pytest.fixture(scope="module")
def malice(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each call, in one process: a Python with the SDK takes as long to start as all of them."""
    folder = tmp_path_factory.mktemp("engines")
    body = f"""
import os
def ask(address, call):
    os.environ["DOCKER_HOST"] = address
    engine = docker_engine.DockerEngine.connect(timeout={WITHIN_S})
    return str(eval(call))[:300] if call else "connected"
docker_engine.load_sdk()
"""
    with ExitStack() as stack:
        calls = {}
        for number, (name, (call, hostile, _words)) in enumerate(MALICE.items()):
            answer = hostile_to(call, hostile)
            calls[name] = [stack.enter_context(serving(answer, folder / f"{number}.sock")), call]
        return ask_each(calls, module="host", imports="docker_engine", body=body)


def hostile_to(call: str, hostile: Answer) -> Answer:
    """An engine in order but for one thing that is asked of it; for the version where nothing else is."""

    def answer(connection: socket.socket) -> None:
        while head := request_of(connection):
            if call and b"/version" in head.split(b" ")[1]:
                plain(b'{"Version": "26.1.5", "ApiVersion": "1.45", "Components": []}')(connection)
            else:
                hostile(connection)
                return

    return answer


@pytest.mark.parametrize("name", MALICE)
def test_an_engine_that_answers_with_malice_costs_a_sentence(
    malice: dict[str, dict[str, Any]], name: str
) -> None:
    found, words = malice[name], MALICE[name][2]
    assert words in found["answer"], found
    assert "\n" not in found["answer"], found
    assert found["answer"].startswith(("ChaosError: ", "Unsupported: ", "[")), found
    # a stream of events has no time as a whole; 64 MiB of them are taken in as fast as the machine can
    assert found["seconds"] <= (30.0 if name == "events for ever" else WITHIN_S + 1.0), found
    assert found["mib"] <= 100, found


@pytest.mark.parametrize(
    "hostile",
    [
        head_for_ever(b"x", 0.3),
        stream(b'[{"a": "', then=b"x" * 65536),
        stream(b'[{"a": "', then=b"x", pause=0.3),
        plain(b"[" * 100_000),
        plain(b"[" + b"{}," * 2_000_000 + b"{}]"),
        plain(b"[7]"),
        plain(b"7"),
        plain(b'[{"Id": "a", "Names": 7}]'),
        plain(b'[{"Names": []}]'),
    ],
)
def test_the_captures_look_at_the_engine_is_bounded_too(tmp_path: Path, hostile: Answer) -> None:
    def answer(connection: socket.socket) -> None:
        request_of(connection)
        hostile(connection)

    began = time.monotonic()
    with serving(answer, tmp_path / "docker.sock"):
        assert docker_socket.list_containers("lab", str(tmp_path / "docker.sock")) is None
    assert time.monotonic() - began < 2


def test_the_captures_look_finds_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the run's own questions go, too: at the engine's usual socket, or the one that DOCKER_HOST names."""
    listed = [{"Id": CONTAINER, "Names": ["/a\x1b"], "Labels": {"com.docker.compose.service": "api"}}]

    def answer(connection: socket.socket) -> None:
        request_of(connection)
        plain(json.dumps(listed).encode())(connection)

    with serving(answer, tmp_path / "docker.sock"):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'docker.sock'}")
        found = docker_socket.list_containers("lab")
    monkeypatch.delenv("DOCKER_HOST")
    assert docker_socket.find_socket() == "/var/run/docker.sock"
    assert found == [docker_socket.ListedContainer(CONTAINER, "a\ufffd", "api")]
