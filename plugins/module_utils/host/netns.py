# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work inside a network namespace, from a forked child, so that this process never leaves its own (setns(2)).

What the child's function returns or raises comes back over a pipe. The snapshot has its own way in, on purpose: what
judges the undo shares no code with it. What TCP sockets a namespace has is read from outside, of the kernel's own
tables (proc_net_tcp.txt of the kernel's documentation).
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import bounds, clock
from ..common.errors import ChaosError, Unsupported

_CLONE_NEWNET = 0x40000000
#: Linux's TCP_INFO begins with eight bytes and then words of 32 bits; tcpi_rtt (µs) is the 16th (linux/tcp.h).
_TCP_INFO_BYTES = 8 + 24 * 4
_RTT_AT = 8 + 15 * 4
#: States of a TCP socket, and the columns of a line: local address, remote address, state, inode.
ESTABLISHED, TIME_WAIT, LISTEN = 1, 6, 10
_LOCAL, _REMOTE, _STATE, _INODE = 1, 2, 3, 9
_LOOPBACKS = ("127.0.0.1", "::1")
#: Where who listens at any address is reached from within.
_ANY, _ANY6 = "0.0.0.0", "::"  # noqa: S104
_REACHED = {_ANY: _LOOPBACKS[:1], _ANY6: _LOOPBACKS}
#: A table of sockets is read so far, in bytes: some thousands of them.
_TABLE = 4 * bounds.MIB


@dataclass(frozen=True)
class Socket:
    """One TCP socket of a namespace; ``inode`` is 0 of one that belongs to nobody any more."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    inode: int


def _own_number() -> int:
    """Return the number of the network namespace that this process is in now."""
    try:
        return os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return 0


#: Where this process began; a forked child that has entered another one still knows it.
_BEGAN_IN = _own_number()


def call_inside(pid: int, function: Callable[..., Any], *arguments: Any, within: float = 30.0) -> Any:
    """Call ``function`` in the network namespace of process ``pid`` and return its answer, which must be JSON's.

    Raises what the function raised if that is one of our errors, else ChaosError; also when it took longer than
    ``within`` seconds, or there is no such process.
    """
    return _in_child(lambda: enter_netns(pid), function, arguments, within)


def call_in_throwaway(function: Callable[..., Any], *arguments: Any, within: float = 30.0) -> Any:
    """Call ``function`` in a network namespace of its own, which is gone afterwards with all that was made in it."""
    return _in_child(_unshare, function, arguments, within)


def enter_netns(pid: int) -> None:
    """Move this process itself into the network namespace of another. Raises OSError.

    Raises ChaosError where that is the one this process began in: a number that was given anew, or another PID
    namespace's, would have us cut the host itself.
    """
    with open(f"/proc/{pid}/ns/net") as namespace:
        if os.fstat(namespace.fileno()).st_ino == _BEGAN_IN:
            raise ChaosError(
                f"Process {pid} lives in this host's own network namespace, not in a container's: nothing was done."
            )
        if _libc().setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))


def read_netns_number(pid: int) -> int:
    """Return the number of a process's network namespace, 0 when it cannot be read: another number, another one."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def read_sockets(pid: int, proc: Path = Path("/proc")) -> list[Socket]:
    """Return the TCP sockets, of both families, of a process's network namespace; none where they may not be seen."""
    found: list[Socket] = []
    for table in ("tcp", "tcp6"):
        try:
            with (proc / str(pid) / "net" / table).open("rb") as stream:
                found += parse_table(stream.read(_TABLE).decode(errors="replace"))
        except OSError:
            continue
    return found


def list_listening(pid: int, port: int, proc: Path = Path("/proc")) -> list[str]:
    """Return where somebody listens on a port in a process's namespace, as who is in there connects to it.

    The loopback comes first; who listens at ``::`` may take IPv4 as well, or not. Empty where nobody does.
    """
    found = _listening_at(pid, port, proc)
    reached = [address for one in found for address in _REACHED.get(one, (one,))]
    return sorted(dict.fromkeys(reached), key=lambda address: address not in _LOOPBACKS)


def _listening_at(pid: int, port: int, proc: Path = Path("/proc")) -> list[str]:
    return [one.local[0] for one in read_sockets(pid, proc) if one.state == LISTEN and one.local[1] == port]


def find_listening(pid: int, port: int, timeout: float = 1.0) -> str:
    """Return the address by which a port of a process's namespace is reached from within: the loopback if it can be.

    Whether who listens at ``::`` takes IPv4 is tried, and nothing else. The loopback, too, where nobody listens.
    """
    listening = _listening_at(pid, port)
    found = list_listening(pid, port) or [*_LOOPBACKS[:1]]
    if _ANY6 not in listening or {_ANY, _LOOPBACKS[0]} & {*listening}:
        return found[0]
    there = (one for one in found if call_inside(pid, accepts_connect, one, port, timeout))
    return next(there, found[0])


def parse_table(text: str) -> Iterator[Socket]:
    """Yield the sockets of ``/proc/<pid>/net/tcp`` or ``tcp6``; a line that is none is passed over."""
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            yield Socket(
                parse_endpoint(words[_LOCAL]),
                parse_endpoint(words[_REMOTE]),
                int(words[_STATE], 16),
                int(words[_INODE]),
            )
        except (IndexError, ValueError):
            continue


def parse_endpoint(text: str) -> tuple[str, int]:
    """Return (address, port) of ``0100007F:1F90``: words of 32 bits in the host's (little) byte order, then the port.

    An IPv4 address in IPv6 clothes is that IPv4 address. Raises ValueError.
    """
    address, _colon, port = text.partition(":")
    raw = bytes.fromhex(address)
    packed = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    found = ipaddress.ip_address(packed)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found), int(port, 16)


def pack_address(address: str) -> bytes:
    """Return an address, of either family, as the bytes of a packet."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def connect_once(address: str, port: int, timeout: float) -> dict[str, Any]:
    """Connect once from where this process is: {seconds, kernel_ms, errno, timed_out}.

    ``kernel_ms`` is the round trip of the handshake by the kernel's own measure (TCP_INFO); None if there was none.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found: dict[str, Any] = {"kernel_ms": None, "errno": 0, "timed_out": False}
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        began = clock.read()
        try:
            probe.connect((address, port))
            info = probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            found["kernel_ms"] = int.from_bytes(info[_RTT_AT : _RTT_AT + 4], "little") / 1000
        except socket.timeout:
            found["timed_out"] = True
        except OSError as error:
            found["errno"] = error.errno or 0
        found["seconds"] = clock.read() - began
    return found


def accepts_connect(address: str, port: int, timeout: float) -> bool:
    """Return whether somebody accepts a connect from where this process is.

    It is reset at once, so that nothing of it is under way when the path is touched next.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        try:
            probe.connect((address, port))
        except OSError:
            return False
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


def _in_child(
    go: Callable[[], None], function: Callable[..., Any], arguments: tuple[Any, ...], within: float
) -> Any:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "w") as stream:
                json.dump(_answer(go, function, arguments), stream)
        finally:
            os._exit(0)
    os.close(writer)
    text = None
    try:
        text = _read(reader, clock.read() + within)
    finally:
        if text is None:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if text is None:
        raise ChaosError(f"Work in a network namespace took longer than {within:g} s.")
    answer = json.loads(text or '{"error": "the child that worked in a network namespace died"}')
    if "error" in answer:
        raise (Unsupported if answer.get("unsupported") else ChaosError)(answer["error"])
    return answer["value"]


def _answer(
    go: Callable[[], None], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> dict[str, Any]:
    try:
        go()
    except ChaosError as error:
        return {"error": str(error), "unsupported": False}
    except OSError as error:
        return {"error": f"The network namespace cannot be entered ({error.strerror}).", "unsupported": False}
    try:
        return {"value": function(*arguments)}
    except ChaosError as error:
        return {"error": str(error), "unsupported": isinstance(error, Unsupported)}
    except Exception as error:
        return {"error": f"{type(error).__name__} in a network namespace: {error}"}


def _read(reader: int, until: float) -> str | None:
    """Read to the end of the pipe; None when that did not come in time."""
    parts: list[bytes] = []
    try:
        while select.select([reader], [], [], max(0.0, until - clock.read()))[0]:
            part = os.read(reader, 65536)
            if not part:
                return b"".join(parts).decode(errors="replace")
            parts.append(part)
            if sum(map(len, parts)) > bounds.PIPE_ANSWER:
                raise ChaosError(
                    f"An answer from a network namespace is larger than {bounds.format_size(bounds.PIPE_ANSWER)}."
                )
        return None
    finally:
        os.close(reader)


def _unshare() -> None:
    if _libc().unshare(_CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
