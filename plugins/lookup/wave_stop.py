# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host's wave goes on, as the hosts of a run leave word of it on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: wave_stop
short_description: Say why the hosts of a run must stop
version_added: 0.1.0
author: The exchange.chaos authors (@exchange-chaos)
description:
  - Returns why another host of the run was aborted, an empty text while none was.
  - Windows and faults of an aborted host leave word on the controller for the time of one C(ansible-playbook).
options:
  _terms:
    description: The run's id and the host that asks.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Go on only while the wave does
  ansible.builtin.set_fact:
    go: "{{ not lookup('exchange.chaos.wave_stop', chaos_run.run_id, inventory_hostname) }}"
"""

RETURN = r"""
_raw:
  description: The reason.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import aborts


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core is untyped
    """Thin: see plugin_utils/fleet/aborts.py."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[str]:
        """Return the reason for (run id, host)."""
        run_id, host = (str(term) for term in terms)
        return [aborts.find_abort(run_id, host)]
