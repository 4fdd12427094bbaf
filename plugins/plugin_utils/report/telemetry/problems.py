# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a run from being told to monitoring."""

from __future__ import annotations


class TelemetryProblem(Exception):
    """The message is one sentence for people; the run goes on without."""
