# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The positive control: a connect of our own that the capture must see, or its silence means nothing.

It starts in the network namespace of a container and goes to the address the engine names. Neither comes from the
capture's filter, so a filter on the wrong port shows as a control that is not seen.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from dataclasses import dataclass

from ..exchange import external
from ..run.specification import Specification

_CLONE_NEWNET = 0x40000000
_TIMEOUT_S = 1.0


@dataclass
class ControlConnect:
    """One connect under way. pid: the child that makes it."""

    pid: int
    address: str
    port: int
    ended: bool = False

    def reap(self) -> None:
        """Collect the child if it has ended."""
        if not self.ended:
            try:
                self.ended = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
            except ChildProcessError:
                self.ended = True

    def end(self) -> None:
        """End the child whatever it does."""
        self.reap()
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.ended = True


def choose_connect(spec: Specification) -> tuple[str, str, int] | None:
    """Return (service to start from, address, port) of the control, None if the run asks for none it can make."""
    control = spec.capture.control
    if control is None or not control.source or not control.to or control.port is None:
        return None
    for item in spec.containers.get(control.to, ()):
        if item.addresses:
            return control.source, item.addresses[0], control.port
    away = external.list_external(spec).get(control.to)
    return (control.source, away.address, control.port) if away else None


def start_connect(pid: int, address: str, port: int) -> ControlConnect:
    """Begin a connect to (address, port) in the network namespace of process ``pid``.

    Whether it is answered does not matter. Raises OSError when the process is gone.
    """
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = os.fork()
        if child == 0:
            _connect(namespace, address, port)
    finally:
        os.close(namespace)
    return ControlConnect(child, address, port)


def _connect(namespace: int, address: str, port: int) -> None:
    """The child: nothing of the parent's may run in it any more, so it leaves by _exit whatever happens."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) == 0:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(_TIMEOUT_S)
                client.connect((address, port))
    except OSError:
        pass  # refused or silent: the attempt is what counts
    finally:
        os._exit(0)
