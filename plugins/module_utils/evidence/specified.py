# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked of the run: judgement, which knows a run by its evidence alone, has these types from here."""

from __future__ import annotations

from ..run.specification import FaultSpec, FindingSpec

__all__ = ["FaultSpec", "FindingSpec"]
