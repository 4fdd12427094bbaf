# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each service is now: a container that was killed and started may come back at another address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...common.errors import ChaosError
from ...run.specification import KnownContainer

#: While a service is not reached the engine is asked this often (s); a look-up costs it a few milliseconds.
RETRY_S = 0.2
#: Also when all is well: a replaced container may leave another one answering at its old address.
REFRESH_S = 2.0

Lookup = Callable[[str], str]


class ServiceAddresses:
    """Addresses of services, looked up by a thread of their own so that no sample ever waits for the engine."""

    def __init__(self, lookup: Lookup, known: dict[str, str], services: Iterable[str]) -> None:
        """lookup: service -> address, "" when it has none, ChaosError when it is gone. known: to start with."""
        self._lookup = lookup
        self._known = dict(known)
        self._services = sorted(set(services))
        self._wanted = threading.Event()
        self._hurry = threading.Event()
        self._lost: set[str] = set()

    def get(self, service: str) -> str | None:
        """Return the last known address of a service."""
        return self._known.get(service)

    def report_lost(self, service: str) -> None:
        """Ask for a new look-up soon; returns at once."""
        self._lost.add(service)
        self._wanted.set()

    def take_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in new lines of engine.jsonl: a service that was just started is looked up at once."""
        for event in events:
            if event.get("action") == "start" and event.get("service") in self._services:
                self.report_lost(str(event["service"]))
                self._hurry.set()

    def refresh(self, services: Iterable[str]) -> None:
        """Look services up now. One that has no address keeps its old one: it may be back there any moment."""
        for service in services:
            try:
                address = self._lookup(service)
            except ChaosError:
                continue
            if address:
                self._known[service] = address

    def keep_current(self, stopping: Callable[[], bool]) -> None:
        """Keep the addresses right until ``stopping()``; the body of the thread."""
        while not stopping():
            asked = self._wanted.wait(REFRESH_S)
            self._wanted.clear()
            lost, self._lost = self._lost, set()
            self.refresh(sorted(lost) if asked else self._services)
            self._hurry.wait(RETRY_S)
            self._hurry.clear()

    def start_thread(self, stopping: Callable[[], bool]) -> None:
        """Start the thread, unless no service needs one."""
        if self._services:
            threading.Thread(
                target=self.keep_current, args=(stopping,), name="addresses", daemon=True
            ).start()


def first_known(containers: Mapping[str, Sequence[KnownContainer]]) -> dict[str, str]:
    """Return service -> address from ``containers`` of a run's specification."""
    found = {}
    for service, entries in containers.items():
        addresses = [address for entry in entries for address in entry.addresses if address]
        if addresses:
            found[service] = addresses[0]
    return found
