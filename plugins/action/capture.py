# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action exchange.chaos.capture: the module of the same name, out of the run's own runtime."""

from __future__ import annotations

from ansible_collections.exchange.chaos.plugins.plugin_utils.transport.on_host import (
    ModuleOfARun as ActionModule,
)

__all__ = ["ActionModule"]
