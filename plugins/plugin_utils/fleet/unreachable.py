# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that cannot be reached while it is part of a run: told as a failure, so that its part ends in order.

Ansible drops an unreachable host from the play, and the playbook with the last one: no rescue, no record. A failed task
leads to the rescue of the lifecycle, which remembers why and tries the host once more when the record is due.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ..words import escape_line, utc_now

Result = dict[str, Any]
Run = Callable[[Any, Any, Any], Result]

#: In a result: since when the host has not been reached, ISO 8601.
KEY = "chaos_unreachable"
_LEFT = (
    "a fault in force there is undone by the host itself, at its time to live or the end of the run's lease; "
    "playbooks/collect.yml fetches the record when the host is back"
)


def fail_when_unreachable(left: str = _LEFT, **more: Any) -> Callable[[Run], Run]:
    """Decorate the ``run`` of an action: a connection that fails is a failed result with the key ``KEY``.

    left: what becomes of the host now, in words; more: further keys of that result.
    """

    def decorate(run: Run) -> Run:
        @functools.wraps(run)
        def noticed(self: Any, tmp: Any = None, task_vars: Any = None) -> Result:
            since = utc_now()
            try:
                return run(self, tmp, task_vars)
            except AnsibleConnectionFailure as error:
                why = escape_line(getattr(error, "message", "") or error).rstrip(".")
                step = self._task.name or self._task.action
                msg = f"Unreachable since {since} (step: {step}; {why}); {left}."
                return {"failed": True, "changed": False, "msg": msg, KEY: since, **more}

        return noticed

    return decorate
