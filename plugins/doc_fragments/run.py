# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that every module of a run shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and honest attributes of modules that act inside a run."""

    DOCUMENTATION = r"""
options:
  run_id:
    description: The run this belongs to, as M(exchange.chaos.run) was given it.
    type: str
    required: true
  state_dir:
    description:
      - Folder on the host that holds runs, locks and uncollected records.
      - Root's default is C(/var/lib/exchange-chaos), another user's C(~/.local/state/exchange-chaos).
    type: path
requirements:
  - python >= 3.9
  - docker >= 5.0 (Python SDK for Docker)
"""

    ATTRIBUTES = r"""
options: {}
attributes:
  check_mode:
    description: Shows what would be done and does nothing.
    support: full
  diff_mode:
    description: Returns the difference that would be or was made.
    support: none
  idempotent:
    description: The same call twice changes something at most once.
    support: full
"""
