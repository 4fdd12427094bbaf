"""An observer of its own: what the exchange's API and its database's container look like, sample by sample.

It shares no code with the collection, so that the collection's figures can be held against it. Run as a program it
writes one JSON line a sample, with times in seconds since the epoch, until its standard input is closed:
``python observer.py READY_URL CONTAINER``.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

PERIOD_S = 0.005
ENGINE = "/var/run/docker.sock"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(ENGINE)


def ready(url: str) -> tuple[float, float, bool]:
    """Ask once on a connection of its own; returns when it was sent, when it ended, and whether it was 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=2)
    sent = time.time()
    try:
        connection.request("GET", parts.path)
        good = connection.getresponse().status == 200
    except OSError:
        good = False
    finally:
        connection.close()
    return sent, time.time(), good


def running(container: str) -> bool:
    """Ask the engine whether the container runs."""
    connection = UnixConnection("engine")
    connection.request("GET", f"/containers/{container}/json")
    state = json.loads(connection.getresponse().read()).get("State", {})
    connection.close()
    return bool(state.get("Running"))


def watch_container(container: str, lock: threading.Lock) -> None:
    """Write each sample of the container's state."""
    while True:
        sent = time.time()
        try:
            up = running(container)
        except (OSError, ValueError):
            continue
        with lock:
            print(json.dumps({"what": "container", "sent": sent, "end": time.time(), "good": up}), flush=True)
        time.sleep(0.02)


def main() -> None:
    """Sample until standard input ends."""
    url, container = sys.argv[1:3]
    lock = threading.Lock()
    threading.Thread(target=watch_container, args=(container, lock), daemon=True).start()
    while not select.select([sys.stdin], [], [], 0)[0]:
        sent, end, good = ready(url)
        with lock:
            print(json.dumps({"what": "ready", "sent": sent, "end": end, "good": good}), flush=True)
        time.sleep(max(0.0, sent + PERIOD_S - time.time()))


if __name__ == "__main__":
    main()
