# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's socket with a container behind it that answers with malice: bounds on bytes and on the whole time."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.unit.hostile import Answer, ask, for_ever, request_of, serving

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
                value = {"Version": "26.1.5", "ApiVersion": "1.45", "Components": []}
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
        (endless_json, "engine.data_folder()", "larger than 16 MiB"),
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
    from ansible_collections.exchange.chaos.plugins.module_utils.host import docker_engine

    labels = {docker_engine.NUMBER_LABEL: label}
    attributes = {
        "Id": "a", "Name": "/a", "State": {}, "Config": {"Labels": labels}, "HostConfig": {},
    }  # fmt: skip
    assert docker_engine.read_container(attributes).number == 1
