# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own exceptions. Their message is what a person reads: what, where, what would be right."""

from __future__ import annotations

#: How something is run as root: by our playbooks, and in a play of one's own.
AS_ROOT = "run it as root (chaos_become: true in our playbooks, become: true in a play of your own)"


class ChaosError(Exception):
    """Something a user or the host can put right; the message is one clear sentence."""


class Unsupported(ChaosError):
    """This host cannot do it at all (no privilege, no package, no kernel feature): leads to ``skipped``."""


class PasswordWanted(ChaosError):
    """Somebody asks for a password that this call was not given."""
