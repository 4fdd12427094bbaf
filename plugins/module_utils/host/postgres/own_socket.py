# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to the socket that PostgreSQL has in its container, made as a client in there would make it.

No client need be in there. A child of this process enters the container's file system, connects, and hands the open
connection over: what lies in there, links and all, is the container's own and never this host's. Source: proc(5)
(/proc/pid/root, /proc/net/unix), unix(7) (SCM_RIGHTS, SO_PEERCRED).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

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


def connect_inside(
    container_id: str, pid: int, path: str, *, uid: int = 0, within: float = 5.0
) -> socket.socket:
    """Connect, as a user of that number, to a socket in the file system of a container's process; blocking.

    Raises OSError where nobody listens, or that process is none of the container's.
    """
    near, far = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            near.close()
            _connect_and_hand_over(far, container_id, pid, path, uid, within)
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


def _connect_and_hand_over(
    far: socket.socket, container_id: str, pid: int, path: str, uid: int, within: float
) -> None:
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
        # Opened first and looked at then: a number that was given anew meanwhile is another's, and seen to be.
        if container_id not in Path(f"/proc/{pid}/cgroup").read_text(errors="replace"):
            raise OSError(0, f"process {pid} is not of container {container_id[:12]}")
        os.fchdir(root)
        os.chroot(".")
        if uid:
            os.seteuid(uid)
        with socket.socket(socket.AF_UNIX) as connection:
            # A queue that is full keeps a connect waiting: so long, and no longer.
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(within), int(within % 1 * 1e6))
            )
            connection.connect(path)
            socket.send_fds(far, [b"+"], [connection.fileno()])
    except OSError as error:
        far.send((error.strerror or str(error)).encode())
