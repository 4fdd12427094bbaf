# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many examples a generated test tries: few and always the same in ``make test``, many new ones in a full run.

``--hypothesis-profile=full`` chooses the second; a failure there prints how it is tried again.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

ANY_SPEED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)

settings.register_profile(
    "quick", max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=ANY_SPEED
)
settings.register_profile(
    "full",
    max_examples=400,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=ANY_SPEED,
)
settings.load_profile("quick")
