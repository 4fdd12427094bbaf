# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that every fault module shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of modules that inject a fault and undo it."""

    DOCUMENTATION = r"""
options:
  project:
    description:
      - The compose project. Only its containers are ever touched.
      - Of a fault that the run's specification has, this and every other argument that describes it is taken from
        there; one that says otherwise is refused. Of any other, O(project), O(service) and O(ttl) are required.
    type: str
  service:
    description: The compose service the fault is aimed at.
    type: str
  fault:
    description: The fault's id in the run; the same id twice is one fault.
    type: str
    required: true
  replicas:
    description: How many containers of the service, V(one), V(all) or a number.
    type: str
    default: one
  lead:
    description: Seconds between announcing the fault to load and probes, which then sample more densely, and the fault.
    type: float
    default: 1.0
  linger:
    description: Seconds to do nothing after fault or undo, so that the next module's start disturbs no measuring.
    type: float
    default: 2.0
  ttl:
    description: Seconds after which the host undoes the fault by itself, counted on CLOCK_BOOTTIME.
    type: float
  at:
    description:
      - The instant at which the fault is to begin, in seconds since 1970 on the controller's clock; the offset that
        M(exchange.chaos.run) measured turns them into the host's own time. Without it, after O(lead).
      - The fault is prepared and journaled before, and O(lead) is counted back from it. One that has passed is told,
        and the fault injected at once.
    type: float
  specification:
    description:
      - What the fault is taken from where there is no run yet that could hold it, as in check mode. A dictionary of
        C(project), C(windows) and C(faults).
    type: dict
  state:
    description: Whether the fault is injected or undone.
    type: str
    choices: [present, absent]
    default: present
"""
