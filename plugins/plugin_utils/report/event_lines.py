# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One kernel event as the line a person reads in the ``.log.bpf`` file. Pure."""

from __future__ import annotations

import errno as errnos
import signal
from collections.abc import Mapping
from typing import Any

from ...module_utils.common.clock import read_date
from ...module_utils.common.peer_addresses import is_port, write_endpoint
from ...module_utils.common.shapes import is_number, is_whole
from ..words import escape_line

#: What is longer is no name of an event.
_NAME_MAX = 40
#: Wide enough for the longest name and a gap.
_NAME_WIDTH = 18


def format_event(event: Mapping[str, Any], at: float | str, host: str | None = None) -> str:
    """Return e.g. ``[14:30:45] CONN_FAILED        trading-api (PID: 1234, errno: 111 ECONNREFUSED)``.

    at: when, as epoch seconds or as ISO 8601 UTC; host: named in front of the event where there are several.
    A pid of 0 says that the kernel did not tell which process it was.
    """
    clock = escape_line(at[11:19]) if isinstance(at, str) else f"{read_date(at):%H:%M:%S}"
    name = escape_line(event.get("event") or "?")[:_NAME_MAX]
    who = escape_line(event.get("service") or event.get("container") or event.get("comm") or "?")
    details = ", ".join([f"PID: {_number(event.get('pid'))}", *_details(name, event)])
    control = " our own control" if event.get("control") else ""
    return (
        f"[{clock}] {f'{escape_line(host)} ' if host else ''}{name:<{_NAME_WIDTH}} {who} ({details}){control}"
    )


def errno_name(number: int) -> str:
    """Return e.g. ``111 ECONNREFUSED``; the number alone where it has no name."""
    name = errnos.errorcode.get(number)
    return f"{number} {name}" if name else str(number)


def signal_name(number: int) -> str:
    """Return e.g. ``9 SIGKILL``; the number alone where it has no name."""
    try:
        return f"{number} {signal.Signals(number).name}"
    except ValueError:
        return str(number)


def _number(value: Any) -> str:
    """Return a process id as the kernel has them; what is none is 0, as where nobody told."""
    return str(value) if is_whole(value) and 0 <= value < 1 << 32 else "0"


def render_peer(event: Mapping[str, Any]) -> str:
    """Return the other end of a connection as address:port, [address]:port for IPv6; "" if the event has none."""
    address, port = event.get("raddr"), event.get("rport") or 0
    if not address:
        return ""
    return write_endpoint(escape_line(address), int(port) if is_port(port) else 0)


def _details(name: str, event: Mapping[str, Any]) -> list[str]:
    error, other = int(_number(event.get("errno"))), render_peer(event)
    if name == "CONN_FAILED":
        return [f"errno: {errno_name(error) if error else 'not known'}"]
    if name == "PROC_EXIT":
        return _exit(event)
    if name == "OOM_KILL":
        return _oom(event)
    found = []
    if other:
        direction = event.get("direction") or ("received" if event.get("passive") else "sent")
        way = "from" if direction == "received" else "to"
        found.append(f"{way}: {other}")
    duration = _duration(event.get("duration_ms"))
    if duration:
        words = {"CONN_OK": "after", "CONN_GAVE_UP": "unanswered after", "CONN_CLOSED": "open for"}
        found.append(f"{words.get(name, 'age')}: {duration}")
    if error and name == "CONN_CLOSED":
        found.append(f"errno: {errno_name(error)}")
    return found


def _exit(event: Mapping[str, Any]) -> list[str]:
    found = [escape_line(event["comm"])] if event.get("comm") else []
    number = int(_number(event.get("exit_signal")))
    if number:
        found.append(f"signal: {signal_name(number)}")
        if event.get("by_pid"):
            found.append(f"sent by: {escape_line(event.get('by_comm') or '?')} {_number(event['by_pid'])}")
    elif event.get("exit_status") is not None:
        found.append(f"status: {_number(event['exit_status'])}")
    if event.get("main"):
        found.append("main process")
    return found


def _oom(event: Mapping[str, Any]) -> list[str]:
    found = [escape_line(event["comm"])] if event.get("comm") else []
    anonymous, *others = (event.get(name) for name in ("anon_kb", "file_kb", "shmem_kb"))
    if is_number(anonymous):
        resident = anonymous + sum(one for one in others if is_number(one))
        found.append(f"resident: {resident / 1024:.1f} MiB")
        found.append(f"anonymous: {anonymous / 1024:.1f} MiB")
    if event.get("by_itself"):
        found.append("asked for memory itself")
    elif event.get("by_pid"):
        found.append(
            f"memory asked for by: {escape_line(event.get('by_comm') or '?')} {_number(event['by_pid'])}"
        )
    return found


def _duration(milliseconds: Any) -> str:
    if not is_number(milliseconds):
        return ""
    return f"{milliseconds / 1000:.3g} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"
