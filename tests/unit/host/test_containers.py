# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container says of its health check, and which container of a service is meant."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container, DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import preflight

from tests.unit.containers import attrs, down, target

SECOND = 1_000_000_000


def checked(**check: Any) -> Container:
    made = attrs("api")
    made["Config"]["Healthcheck"] = {"Test": ["CMD", "true"], **check}
    return target("api", Config=made["Config"])


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        ({"Interval": 30 * SECOND, "Timeout": 5 * SECOND, "Retries": 3}, 105.0),
        ({"Interval": SECOND, "Timeout": SECOND, "Retries": 2, "StartPeriod": 10 * SECOND}, 14.0),
        ({}, 180.0),
        ({"Test": ["NONE"]}, 0.0),
    ],
)
def test_how_long_a_health_check_may_take_is_its_own_affair(check: dict[str, Any], seconds: float) -> None:
    assert checked(**check).check_needs_s == seconds


def test_without_a_health_check_there_is_nothing_to_wait_for() -> None:
    assert target("api").check_needs_s == 0.0


def test_what_the_last_check_printed_is_told_clean() -> None:
    log = [{"Output": "old"}, {"Output": "first\n\x1b[31mrefused\n\n"}]
    said = target("api", state={"Health": {"Status": "unhealthy", "Log": log}}).health_said
    assert said.endswith("refused")
    assert "\x1b" not in said
    assert target("api").health_said == ""


class Listing(DockerEngine):
    """An engine that knows these containers."""

    def __init__(self, *known: Container) -> None:
        self.known = list(known)

    def containers(self, project: str, service: str | None = None) -> list[Container]:
        return [one for one in self.known if service in (None, one.service)]


def test_a_container_that_runs_is_meant_before_one_that_never_did() -> None:
    running = target("postgres", number=2)
    assert Listing(down("postgres"), running).container("lab", "postgres") == running
    assert Listing(down("postgres")).container("lab", "postgres") == down("postgres")
    with pytest.raises(ChaosError, match="no container of a service"):
        Listing().container("lab", "postgres")


def look(*known: Container) -> list[tuple[str, str]]:
    """Let preflight look at service api of these containers; returns what it said."""
    said: list[tuple[str, str]] = []
    report = preflight.Report(lambda level, text: said.append((level, text)))
    report.targets = list(known)
    preflight._require_up(report, Listing(*known), "lab", "api")
    return said


def test_a_paused_service_is_called_paused_with_the_word_that_wakes_it() -> None:
    with pytest.raises(ChaosError, match=r"is paused; wake it first: docker unpause lab-api-1$"):
        look(target("api", state={"Status": "paused"}))


def test_a_second_container_that_never_started_is_named_with_what_removes_it() -> None:
    never = target("api", number=2, state={"Status": "created", "Running": False})
    assert [text for level, text in look(target("api"), never) if level == "warn"] == [
        "lab-api-2, a second container of api, was never started and is left out; if nobody needs it: "
        "docker rm lab-api-2"
    ]
    assert look(target("api")) == []


def test_a_sick_service_is_named_with_what_its_check_said() -> None:
    health = {"Status": "unhealthy", "Log": [{"Output": "connection to 5432 refused\n"}]}
    with pytest.raises(ChaosError, match="its health check last said: connection to 5432 refused"):
        look(target("api", state={"Health": health}))
