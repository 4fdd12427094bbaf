# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that modules which write report files share."""

from __future__ import annotations


class ModuleDocFragment:
    """Honest attributes of what an action plugin writes on the controller."""

    ATTRIBUTES = r"""
options: {}
attributes:
  action:
    description: Has an action plugin that does all the work.
    support: full
  check_mode:
    description: Says what it would do, and does nothing.
    support: full
  diff_mode:
    description: Shows a difference.
    support: none
    details: A report is only ever new.
  idempotent:
    description: The same call twice changes something at most once.
    support: full
"""
