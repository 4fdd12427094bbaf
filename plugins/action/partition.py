# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.partition: see plugin_utils/transport/fault_action.py."""

from __future__ import annotations

from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.fault_action import FaultAction


class ActionModule(FaultAction):
    """Tells the wave of an abort."""
