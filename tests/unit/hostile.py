# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that answer with malice, on real sockets, and a client process whose memory and time are measured."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Answer = Callable[[socket.socket], None]

#: Measures a client by itself: the most memory it had (KiB), and its time in seconds without that in which it was ready
#: to run and other processes had the processor (proc(5), schedstat): a busy machine is not the answer's doing.
_METERS = """
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
def elapsed():
    import glob
    waited = sum(int(open(path).read().split()[1]) for path in glob.glob("/proc/self/task/*/schedstat"))
    return time.monotonic() - waited / 1e9
"""

#: Runs what is given as a function of one argument and prints what came of it, its time and its peak memory.
_CLIENT = """
import json, sys, time
sys.path.insert(0, {path!r})
from ansible_collections.exchange.chaos.plugins.module_utils.{module} import {imports}
{body}
{meters}
warm_up = globals().get("warm")
if warm_up:
    warm_up(sys.argv[1])
usual, began = peak(), elapsed()
try:
    answer = ask(sys.argv[1])
except Exception as error:
    answer = f"{{type(error).__name__}}: {{error}}"
print(json.dumps({{"answer": answer, "seconds": elapsed() - began, "mib": (peak() - usual) / 1024}}))
"""


@contextmanager
def serving(answer: Answer, path: Path | None = None) -> Iterator[str]:
    """Answer every connection, each in a thread, on loopback or on the unix socket ``path``; yields the address."""
    server = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    server.bind(str(path) if path else ("127.0.0.1", 0))
    server.listen(16)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_answer, args=(answer, connection), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"unix://{path}" if path else f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        stopping.set()
        server.close()


def _answer(answer: Answer, connection: socket.socket) -> None:
    with connection, suppress(OSError):
        answer(connection)


def request_of(connection: socket.socket) -> bytes:
    """Read a request's head."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            break
        data += part
    return data


def for_ever(connection: socket.socket, piece: bytes, pause: float = 0.0, most: float = 60.0) -> None:
    """Send a piece over and over until the other end has enough."""
    until = time.monotonic() + most
    while time.monotonic() < until:
        connection.sendall(piece)
        if pause:
            time.sleep(pause)


def ask(address: str, *, module: str, imports: str, body: str, patience: float = 60.0) -> dict[str, Any]:
    """Call ``ask(address)`` of ``body`` in a process of its own: {answer, seconds, mib over what it took before}."""
    script = _CLIENT.format(
        path=str(ROOT / ".collections"), meters=_METERS, module=module, imports=imports, body=body
    )
    done = subprocess.run(
        [sys.executable, "-c", script, address], capture_output=True, text=True, timeout=patience, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


#: The same for many calls one after the other, each with a peak of its own (proc(5), clear_refs: 5 resets it).
_CLIENTS = """
import ctypes, gc, json, sys, time
sys.path.insert(0, {path!r})
from ansible_collections.exchange.chaos.plugins.module_utils.{module} import {imports}
{body}
{meters}
found = dict()
trim = ctypes.CDLL(None).malloc_trim  # what one call has freed is no room for the next
for name, arguments in json.loads(sys.argv[1]).items():
    gc.collect(), trim(0)
    open("/proc/self/clear_refs", "w").write("5")
    usual, began = peak(), elapsed()
    try:
        answer = ask(*arguments)
    except Exception as error:
        answer = f"{{type(error).__name__}}: {{error}}"
    seconds = elapsed() - began
    found[name] = dict(answer=answer, seconds=seconds, mib=(peak() - usual) / 1024)
print(json.dumps(found))
"""


def ask_each(
    calls: dict[str, list[str]], *, module: str, imports: str, body: str, patience: float = 120.0
) -> dict[str, dict[str, Any]]:
    """Call ``ask(*arguments)`` of ``body`` for each name, all in one process: {answer, seconds, mib} by name."""
    script = _CLIENTS.format(
        path=str(ROOT / ".collections"), meters=_METERS, module=module, imports=imports, body=body
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(calls)],
        capture_output=True, text=True, timeout=patience, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
