# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logging to stdout (where `docker logs` finds it), and the log of a dependency's ups and downs."""

from __future__ import annotations

import logging
import sys
import time

#: Seconds between two lines about the same, still lasting failure.
REPEAT_AFTER = 5.0


def setup(service: str, *, silent: bool = False) -> logging.Logger:
    """Return the service's logger; `silent` drops everything (switch silent_errors)."""
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.CRITICAL + 1 if silent else logging.INFO,
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    logging.Formatter.converter = time.gmtime
    return logging.getLogger(service)


class DependencyLog:
    """Says once that a dependency failed and why, reminds every few seconds, and says when it is back."""

    def __init__(self, logger: logging.Logger, name: str) -> None:
        self._logger = logger
        self._name = name
        self._down_since: float | None = None
        self._said = 0.0
        self._cause = ""

    def failed(self, cause: str) -> None:
        """Note a failure; a new cause is said at once, a known one only every REPEAT_AFTER seconds."""
        now = time.monotonic()
        if self._down_since is None:
            self._down_since = now
        if cause != self._cause or now - self._said >= REPEAT_AFTER:
            self._cause, self._said = cause, now
            self._logger.error("%s unavailable: %s", self._name, cause)

    def works(self) -> None:
        """Note that it works; says so after a failure."""
        if self._down_since is not None:
            self._logger.info("%s is back after %.3f s", self._name, time.monotonic() - self._down_since)
        self._down_since, self._cause = None, ""
