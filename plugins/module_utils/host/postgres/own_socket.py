# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to the socket that PostgreSQL has in its container, made as a client in there would make it.

No client need be in there. A child of this process enters the container's file system, or its network where the server
has no socket of the file system's, connects, and hands the open connection over: what lies in there, links and all, is
the container's own and never this host's. Source: proc(5) (/proc/pid/root, /proc/net/unix), unix(7) (SCM_RIGHTS,
SO_PEERCRED).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from ...common.errors import ChaosError
from .. import netns

_LISTENS = 0x10000
#: The kernel's list of sockets is read so far, in bytes: thousands of them.
_LIST_BYTES = 1 << 20
#: Longer than the child may take to connect, s.
_BESIDE_S = 1.0


def find_socket(pid: int, port: int) -> str:
    """Return the path of the socket that PostgreSQL listens on in a process's namespaces; empty where there is none.

    Its name says the port; the folder is whichever the server was told (``unix_socket_directories``). Empty, too, where
    this process may not look.
    """
    if not pid or os.geteuid():
        return ""
    try:
        with open(f"/proc/{pid}/net/unix", errors="replace") as listed:
            lines = listed.read(_LIST_BYTES).splitlines()[1:]
    except OSError:
        return ""
    rows = (line.split(None, 7) for line in lines)
    paths = [row[7] for row in rows if len(row) == 8 and int(row[3], 16) & _LISTENS]
    return next((path for path in paths if path.endswith(f"/.s.PGSQL.{port}")), "")


def list_addresses(pid: int, port: int) -> list[str]:
    """Return where a server listens by TCP inside a process's network; none where this process may not go there."""
    return [] if not pid or os.geteuid() else netns.list_listening(pid, port)


def connect_inside(
    container_id: str, pid: int, path: str, *, uid: int = 0, within: float = 5.0
) -> socket.socket:
    """Connect, as a user of that number, to a socket in the file system of a container's process; blocking.

    Raises OSError where nobody listens, or that process is none of the container's.
    """
    return _in_child(lambda: _connect_to_file(container_id, pid, path, uid, within), within)


def connect_over_tcp(
    container_id: str, pid: int, addresses: Sequence[str], port: int, *, within: float = 5.0
) -> socket.socket:
    """Connect from within a container's network to the first of its addresses that answers; blocking.

    Raises OSError where none does, or that process is none of the container's.
    """
    return _in_child(lambda: _connect_over_tcp(container_id, pid, addresses, port, within), within)


def _in_child(connect: Callable[[], socket.socket], within: float) -> socket.socket:
    """Return what ``connect`` returned in a child of this process, which may enter whatever it likes."""
    near, far = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            near.close()
            _hand_over(far, connect)
        finally:
            os._exit(0)
    far.close()
    try:
        near.settimeout(within + _BESIDE_S)
        said, descriptors, _flags, _sender = socket.recv_fds(near, 4096, 1)
    except OSError as error:
        said, descriptors = str(error.strerror or error).encode(), []
    finally:
        near.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not descriptors:
        raise OSError(0, said.decode(errors="replace") or "nothing came back")
    # as Python makes its own, and the kernel not those that it hands over
    os.set_inheritable(descriptors[0], False)
    return socket.socket(fileno=descriptors[0])


def read_owner(connection: socket.socket) -> int:
    """Return the number of the user who listens at the other end of a connection."""
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _hand_over(far: socket.socket, connect: Callable[[], socket.socket]) -> None:
    try:
        with connect() as connection:
            socket.send_fds(far, [b"+"], [connection.fileno()])
    except (OSError, ChaosError) as error:
        far.send((getattr(error, "strerror", None) or str(error)).encode())


def _require_own(container_id: str, pid: int) -> None:
    """Raise OSError for a process of another's: asked of a number that is held already, it may not be given anew."""
    if container_id not in Path(f"/proc/{pid}/cgroup").read_text(errors="replace"):
        raise OSError(0, f"process {pid} is not of container {container_id[:12]}")


def _connect_to_file(container_id: str, pid: int, path: str, uid: int, within: float) -> socket.socket:
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    # Opened first and looked at then: a number that was given anew meanwhile is another's, and seen to be.
    _require_own(container_id, pid)
    os.fchdir(root)
    os.chroot(".")
    if uid:
        os.seteuid(uid)
    connection = socket.socket(socket.AF_UNIX)
    # A queue that is full keeps a connect waiting: so long, and no longer.
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(within), int(within % 1 * 1e6))
    )
    connection.connect(path)
    return connection


def _connect_over_tcp(
    container_id: str, pid: int, addresses: Sequence[str], port: int, within: float
) -> socket.socket:
    netns.enter_netns(pid)
    # Entered first and looked at then, as above.
    _require_own(container_id, pid)
    problem = OSError(0, "nobody listens there")
    for address in addresses:
        try:
            connection = socket.create_connection((address, port), within / len(addresses))
        except OSError as error:
            problem = error
            continue
        connection.settimeout(None)
        return connection
    raise problem
