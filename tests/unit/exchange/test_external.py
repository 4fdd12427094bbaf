# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that live on another host: what is asked of them, what is refused, and where the password stays."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf import positive_control
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.evidence import named_cause
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import database, external
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import preflight
from ansible_collections.exchange.chaos.plugins.module_utils.observe import gauges
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    FaultSpec,
    Gauge,
    ProbeSpec,
    Specification,
)
from ansible_collections.exchange.chaos.plugins.module_utils.run.state_dir import StateDir

from tests.unit.containers import target

KILL = {"id": "crash", "kind": "kill", "target": "postgres", "window_s": 5}
CUT = {
    "id": "cut", "kind": "partition", "target": "trading-api", "peer_addresses": ["10.0.0.9"], "port": 5433,
    "window_s": 5,
}  # fmt: skip


def spec(*faults: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "project": "lab",
        "services": {"database": "postgres", "cache": "redis", "api": "trading-api"},
        "needs": ["database", "cache", "api"],
        "external": {"database": {"address": "10.0.0.9", "port": 5433}},
        "faults": list(faults or [CUT]),
        "capture": {
            "control": {"from": "trading-api", "to": "postgres", "port": 5433},
            "ports": {"5433": "database"},
        },
        "containers": {"redis": [{"id": "r", "pid": 1, "addresses": ["172.18.0.4"]}]},
        **changes,
    }


class Engine:
    """An engine with an API and a cache, and no database."""

    def containers(self, project: str, service: str | None = None) -> list[Any]:
        known = [target("trading-api"), target("redis")]
        return [one for one in known if service in (None, one.service)]

    def inspect(self, container: str) -> Any:
        return None  # gone meanwhile: nobody's process is taken for it

    def container(self, project: str, service: str) -> Any:
        raise AssertionError(f"nobody may look for {service} here")


def look(wanted: dict[str, Any]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    preflight.check_exchange(
        preflight.Report(lambda *words: lines.append(words)), Engine(), Specification.read(wanted)
    )  # type: ignore[arg-type]
    return lines


def test_a_service_that_lives_elsewhere_is_not_looked_for_here_but_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        where = {"address": "127.0.0.1", "port": there.getsockname()[1]}
        lines = look(spec(external={"database": where}))
    texts = [text for _level, text in lines]
    assert any("redis, trading-api running and healthy" in text for text in texts)
    assert any(
        f"postgres (database) on another host, 127.0.0.1:{where['port']}, answers" in text for text in texts
    )
    with pytest.raises(ChaosError, match="has no service postgres"):
        look(spec(external={}))


def test_one_that_does_not_answer_is_refused_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    with pytest.raises(
        ChaosError, match=rf"database does not answer at 127\.0\.0\.1:{port} from this host \(Conn"
    ):
        look(spec(external={"database": {"address": "127.0.0.1", "port": port}}))


@pytest.mark.parametrize("fault", [KILL, {**KILL, "target": "redis", "targets": ["redis", "postgres"]}])
def test_what_is_aimed_at_it_is_refused_before_anything_is_asked(fault: dict[str, Any]) -> None:
    with pytest.raises(ChaosError, match="Service postgres \\(database\\) lives on another host") as caught:
        look(spec(fault))
    assert "run the experiment there" in str(caught.value)
    assert "10.0.0.9:5433" in str(caught.value)
    external.refuse_external([("crash", ["redis"])], external.list_external(Specification.read(spec())))


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"proxy": {"address": "10.0.0.9", "port": 80}}, "only database and cache"),
        ({"cache": {"address": "10.0.0.9"}}, "an address and a port"),
        ({"cache": {"address": "db.example", "port": 6379}}, "must be an IPv4 or IPv6 address"),
    ],
)
def test_a_wrong_place_is_one_sentence(wrong: dict[str, Any], wanted: str) -> None:
    (found,) = external.find_problems(Specification.read({"external": wrong}))
    assert wanted in found
    assert found.endswith(".")
    assert external.find_problems(Specification.read(spec())) == []
    assert external.find_problems(Specification.read({})) == []


def test_the_control_connects_to_where_it_lives() -> None:
    assert positive_control.choose_connect(Specification.read(spec())) == ("trading-api", "10.0.0.9", 5433)
    assert positive_control.choose_connect(Specification.read(spec(external={}))) is None


def test_its_probe_goes_there_and_any_other_stays() -> None:
    away = external.list_external(Specification.read(spec()))
    asked = ProbeSpec(name="database", kind="tcp", service="postgres", port=5432, rate=10)
    assert external.address_probe(asked, away) == replace(asked, address="10.0.0.9", port=5433)
    other = replace(asked, service="redis")
    assert external.address_probe(other, away) == other


def test_what_would_run_in_its_container_is_unknown_and_says_so() -> None:
    gauge = Gauge(kind="command", name="keys", service="redis", command=["redis-cli", "dbsize"])
    elsewhere = spec(external={"cache": {"address": "10.0.0.9", "port": 6379}})
    wanted = gauges.Asked(Specification.read(elsewhere), {})
    ((name, value, _t, error),) = gauges.read_gauge(gauge, Engine(), wanted)  # type: ignore[arg-type]
    assert (name, value) == ("keys", None)
    assert error is not None
    assert "no container here to run redis-cli in" in error


def test_the_port_of_a_path_to_addresses_is_captured_as_well() -> None:
    watched = preflight._watched_ports(Specification.read(spec({**CUT, "id": "other", "port": 9000}, CUT)))
    assert watched == {"5433": "database", "9000": "peer"}


def test_an_error_names_a_peer_by_its_address() -> None:
    words = named_cause.cause_pattern(Specification.read({}), FaultSpec.from_data(CUT))
    assert words.search("could not connect to 10.0.0.9")
    assert not words.search("something else went wrong")


# ---- the password

ADMIN = {"user": "postgres", "password": "b0ss"}


def test_the_password_is_apart_from_the_specification_and_goes_with_the_run(tmp_path: Path) -> None:
    given = Specification.read(
        {"project": "lab", "database": {"name": "d", "password": "s3cret", "admin": ADMIN}}
    )
    assert given.database.password == "s3cret"
    bare = replace(given, database=given.database.without_passwords())
    assert "s3cret" not in json.dumps(bare.to_data())
    assert "b0ss" not in json.dumps(bare.to_data())
    run = StateDir(tmp_path).create_run_dir("exp-01-a")
    write_json(run.file("spec.json"), bare.to_data())
    write_json(run.file(database.SECRETS), {"password": "s3cret", "admin_password": "b0ss"})
    assert run.file(database.SECRETS).stat().st_mode & 0o777 == 0o600
    known = {"name": "d", "admin": {"user": "postgres"}, "clear_password": False}
    assert database.store_of_run(run) == {**known, "password": "s3cret"}
    assert database.admin_store_of_run(run) == {**known, "user": "postgres", "password": "b0ss"}
    record = StateDir(tmp_path).keep_record(run)
    assert not record.file(database.SECRETS).exists()
    assert "password" not in database.store_of_run(record)
