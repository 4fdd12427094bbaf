# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service answers 200 on this machine: the health check where there is no curl.

Usage: python3 -I -S answers.py URL   (started every two seconds, so it imports as little as can be)
"""

import socket
import sys


def answers(url: str, timeout: float = 2) -> bool:
    """Whether ``url`` (http, an address and a port) is answered with 200 within ``timeout`` seconds."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        return connection.recv(64).split(b" ", 2)[1:2] == [b"200"]


if __name__ == "__main__":
    sys.exit(not answers(sys.argv[1]))
