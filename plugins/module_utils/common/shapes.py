# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for the dictionaries that leave our hands as they are: what a signature means when it takes or returns one.

All else that has keys of its own is a dataclass.
"""

from __future__ import annotations

from typing import Any

#: One line of a raw file (``*.jsonl``); which keys it has, its writer says.
Line = dict[str, Any]
#: What a module or an action answers to Ansible: ``changed``, ``failed``, ``msg`` and its own keys, as RETURN has them.
Result = dict[str, Any]
#: Variables of a host's task, by name.
Variables = dict[str, Any]
#: Arguments of a module, by option.
Arguments = dict[str, Any]
#: A part of a record, as files/record.schema.json has it.
Recorded = dict[str, Any]
