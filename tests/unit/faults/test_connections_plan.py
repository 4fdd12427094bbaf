# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of exhausted connections: what it says, what it refuses, and what the holder's samples prove."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, Unsupported
from ansible_collections.exchange.chaos.plugins.module_utils.faults import planning
from ansible_collections.exchange.chaos.plugins.module_utils.faults.contract import Site
from ansible_collections.exchange.chaos.plugins.module_utils.faults.kinds import connections
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import connection_limit
from ansible_collections.exchange.chaos.plugins.module_utils.faults.registry import by_kind
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.server import (
    Server,
    Usage,
    find_administrator,
)
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import preflight
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import FaultSpec, Specification

from tests.unit.containers import down, target

ROLES = Path(__file__).resolve().parents[3] / "roles"
FAULT: dict[str, Any] = {
    "id": "exhausted", "kind": "connections", "target": "postgres", "user": "trading_user", "database": "trading_db",
}  # fmt: skip


class Psql:
    """An engine whose psql gives one answer for each beginning of a question, and remembers what was asked."""

    def __init__(self, **answers: str) -> None:
        self.answers = {
            "SELECT rolsuper": "f",
            **{key.replace("_", " "): value for key, value in answers.items()},
        }
        self.asked: list[str] = []

    def inspect(self, _container_id: str) -> Any:
        return target()

    def execute(self, container_id: str, argv: list[str], **_more: Any) -> tuple[int, str]:
        self.asked.append(argv[-1])
        found = [answer for start, answer in self.answers.items() if argv[-1].startswith(start)]
        return (0, found[0]) if found else (2, "psql: error: FATAL:  no such answer")


def site(engine: Any = None, *, root: bool = True) -> Site:
    return Site([target()], root, engine)


@pytest.mark.parametrize(
    ("ours", "others", "holds"), [(51, 6, True), (46, 6, True), (35, 6, False), (0, 57, False), (0, 6, False)]
)
def test_only_a_server_without_a_slot_left_proves_it(ours: int, others: int, holds: bool) -> None:
    assert connections._in_activity("sessions", Usage(60, 3, ours, others)).holds is holds


def test_the_kind_is_known_and_its_plan_is_one_line() -> None:
    assert by_kind("connections") is connections
    (line,) = planning.describe_plans([FaultSpec.from_data(one) for one in [FAULT]], site(Psql()))
    assert line.startswith(
        "exhausted: take sessions of role trading_user in database trading_db of lab-postgres-1 (postgres) "
        "until PostgreSQL refuses one more (SQLSTATE 53300)"
    )
    assert "reserved for superusers stay free" in line


def test_a_superuser_has_the_reserved_slots_too_and_the_plan_says_so() -> None:
    (line,) = planning.describe_plans(
        [FaultSpec.from_data(one) for one in [FAULT]], site(Psql(SELECT_rolsuper="t"))
    )
    assert "slots reserved for superusers are taken, too" in line


def test_the_password_is_in_neither_plan_nor_undo() -> None:
    plan = connections.from_spec({**FAULT, "password": "s3cret"}, [target()], site(Psql()))
    assert "s3cret" not in str((plan.lines(), plan.undo()))
    assert plan.undo()["held"] is True


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "flood"}, "must be one of sessions, limit"),
        ({"user": ""}, "has no user"),
        ({"database": None}, "has no database"),
        ({"replicas": "all"}, "replicas must be one"),
        ({"mode": "limit"}, "The limit of fault exhausted is None"),
        ({"mode": "limit", "limit": 0}, "The limit of fault exhausted is 0"),
        ({"port": 70000}, "must be from 1 to 65535"),
    ],
)
def test_a_wrong_argument_is_one_sentence(changes: dict[str, Any], words: str) -> None:
    (found,) = connections.check({**FAULT, **changes})
    assert words in found


def test_right_arguments_are_right() -> None:
    assert connections.check(FAULT) == []
    assert connections.check({**FAULT, "mode": "limit", "limit": "10", "replicas": "1", "port": "5432"}) == []


def test_a_database_that_does_not_run_and_a_role_that_is_none_are_refused() -> None:
    with pytest.raises(ChaosError, match="running database only; lab-postgres-1 is exited"):
        connections.from_spec(FAULT, [down()], site())
    with pytest.raises(ChaosError, match="no role trading_user"):
        connections.from_spec(FAULT, [target()], site(Psql(SELECT_rolsuper="")))


def test_without_root_it_is_not_possible() -> None:
    with pytest.raises(Unsupported, match="needs root"):
        connections.trial(FAULT, [target()], site(Psql(), root=False))


def test_a_lower_limit_must_be_lower_and_leave_the_server_able_to_start() -> None:
    engine = Psql(SHOW="60", SELECT_current="4", SELECT_setting="")
    wanted = {**FAULT, "mode": "limit", "limit": 10}
    (line,) = planning.describe_plans([FaultSpec.from_data(one) for one in [wanted]], site(engine))
    assert (
        "ALTER SYSTEM SET max_connections = 10 (now 60) in lab-postgres-1 (postgres) and restart it" in line
    )
    assert "take the setting out again, and restart it once more" in line
    for limit in (3, 60, 100):
        with pytest.raises(ChaosError, match=r"must be from 4 .* to 59"):
            connections.from_spec({**wanted, "limit": limit}, [target()], site(engine))
    plan = connections.from_spec(
        wanted, [target()], site(Psql(SHOW="60", SELECT_current="4", SELECT_setting="80"))
    )
    assert isinstance(plan, connection_limit.LimitPlan)
    assert (plan.undo()["before"], plan.undo()["written"]) == (60, "80")
    assert "set it to 80 again" in plan.lines()[0]
    assert not any(asked.startswith("ALTER") for asked in engine.asked), "planning only reads"


def test_who_reads_is_named_or_the_images_own_superuser() -> None:
    own = target(Config={"Labels": {}, "Env": ["PATH=/bin", "POSTGRES_USER=boss"]})
    assert find_administrator(own) == "boss"
    assert find_administrator(own, "somebody") == "somebody"
    assert find_administrator(target()) == "postgres"


def test_a_quote_in_a_name_stays_in_the_text() -> None:
    engine = Psql()
    Server(engine, "c1", user="postgres", database="d").is_superuser("o'brien")  # type: ignore[arg-type]
    assert engine.asked == ["SELECT rolsuper FROM pg_roles WHERE rolname = 'o''brien'"]


def test_counts_are_read_as_they_stand() -> None:
    server = Server(Psql(SELECT_current="60|3|51|6"), "c1", user="postgres", database="d")  # type: ignore[arg-type]
    assert server.count_connections("x") == Usage(60, 3, 51, 6)


def sample(t: float, *, full: bool = True, held: int = 51) -> dict[str, Any]:
    return {"t": t, "full": full, "held": held}


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        ([sample(0.1 * n) for n in range(100)], 1.0),
        # the holder died half-way: its last sample speaks for a second
        ([sample(0.1 * n) for n in range(51)], 0.6),
        # the server was away from 4 s on
        ([sample(0.1 * n, full=n < 40) for n in range(100)], 0.4),
        # what was held before the fault counts as nothing
        ([sample(0.1 * n - 5) for n in range(150)], 1.0),
        ([], 0.0),
    ],
)
def test_the_share_is_the_time_in_which_no_slot_was_free(samples: list[dict[str, Any]], share: float) -> None:
    assert connections.held_share(samples, 0.0, 10.0) == pytest.approx(share, abs=0.011)


def test_no_window_no_share() -> None:
    assert connections.held_share([sample(1.0)], 2.0, 2.0) == 0.0


@pytest.mark.parametrize("role", sorted(path.parent.parent.name for path in ROLES.glob("*/vars/main.yml")))
def test_no_description_of_a_fault_has_the_password(role: str) -> None:
    """Descriptions of faults are arguments (-vvv), facts (-v) and part of the record's folder on the host."""
    assert "password" not in (ROLES / role / "vars" / "main.yml").read_text()


def test_the_trial_gets_the_password_that_the_description_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Mapping[str, Any]] = []
    monkeypatch.setattr(preflight.planning, "try_fault", lambda fault, site: tried.append(fault) or "ok")
    report = preflight.Report(lambda level, text: None, {"capabilities": {"root": True, "trials": {}}})
    spec = Specification.read({"faults": [FAULT]})
    preflight.try_faults(report, spec, None, "s3cret")  # type: ignore[arg-type]
    assert [fault["password"] for fault in tried] == ["s3cret"]
    assert "password" not in spec.faults[0].to_data()
