# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.rush: that of every fault module."""

from __future__ import annotations

from ansible_collections.exchange.chaos.plugins.action.fault import ActionModule

__all__ = ["ActionModule"]
