# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discover on every exchange of the suite: at most one thing is left open, and the others run with what it wrote.

Given the project's name (and in some cases a secret, or leave to send one order), discover writes an inventory. What a
person must fill in is filled in where it is asked for, nothing else is changed, and 00-preflight sends its trial order
by it. Experiment 01 is run whole for one exchange of each kind of difference that discovery has to see: what lets one
in, where and by what protocol the API answers, how orders go in and what they are called, which of two tables they are
in, how the database is asked and through whom, which of two databases it is, and a name no compose file has. The other
exchanges differ in what discovery takes no notice of, or in the same.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import support
from tests.module.lab_stack import docker
from tests.shapes import test_api, test_containers, test_database, test_places
from tests.shapes.project import Difference, Shaped, nothing
from tests.shapes.trait import ACCEPTED, PREFLIGHT, fill_in, require_judged

pytestmark = pytest.mark.timeout(300)
DISCOVER, FILL_IN = "playbooks/discover.yml", "# fill in: "
QUICK = ("orders keyed by id", "a bearer token, not given")
BEARER = {"chaos_api_headers": {"Authorization": f"Bearer {test_api.TOKEN}"}}
SECRETS = (test_api.TOKEN, "a-secret-of-the-cache")
#: Other containers answer to this name where they take the place of the embedded exchange's API, or cache.
AS_API, AS_CACHE = ({"networks": {"default": {"aliases": [name]}}} for name in ("trading-api", "redis"))


def remove_own_api(exchange: Shaped) -> None:
    """Take away the API that the suite's exchanges have beside their own."""
    docker("rm", "--force", exchange.container("trading-api"))


def alone(exchange: Difference, *services: str, also: Mapping[str, Any] | None = None) -> Difference:
    """An exchange with one of its APIs, in the place of the embedded exchange's."""
    given = {name: words for name, words in exchange.services.items() if not name.startswith("api-")}
    chosen = {
        name: {**exchange.services[name], **({} if "network_mode" in exchange.services[name] else AS_API)}
        for name in services
    }
    return replace(exchange, services={**given, **chosen, **(also or {})}, change=remove_own_api)


APIS, PLACES = test_api.EXCHANGES["apis"], test_places.EXCHANGES
EXCHANGES = {
    **{
        name: made
        for file in (test_api, test_containers, test_database, test_places)
        for name, made in file.EXCHANGES.items()
    },
    **{f"{name} alone": alone(APIS, name) for name in APIS.services},
    "api-many alone": alone(test_containers.EXCHANGES["made otherwise"], "api-many"),
    "api on [::1]": alone(PLACES["published"], "api-six"),
    "api on IPv6 alone": alone(PLACES["with addresses"], "api-six"),
    "api as a guest": alone(PLACES["with addresses"], "api-guest", also={"nginx": AS_API}),
    "an oddly named cache": Difference(
        {"redis": None, test_containers.OPTION: {"like": "redis", "container_name": "{project}-option", **AS_CACHE}}
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An exchange, what discover is given, what it must find, and what the runs after it must come to.

    says: what it prints. wrote: words of the inventory. left_open: the one thing that it must leave open. filled: what
    a person writes there, by key. changed: what only the owner knows and tells the runs. fails: its trial order does.
    whole: 01 is run, too.
    """

    exchange: str
    given: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""
    wrote: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
    left_open: str = ""
    filled: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    fails: bool = False
    whole: bool = False
    make: Callable[[Shaped], object] = nothing
    unmake: Callable[[Shaped], object] = nothing


TRIAL = {"discover_trial": True}
OTHERWISE = {"api": "trading-api"}
PASSWORD = {"password": "trading"}
GRAPHQL = test_api.TRAITS["orders by GraphQL"].given
LOOKUPS = {
    key: query
    for key, query in test_database.TRAITS["two tables of orders"].remedy["chaos_database"].items()
    if key in ("lookup", "open")
}

CASES = {
    "several APIs": Case("apis", services=OTHERWISE, wrote="may be api-"),
    "orders by PUT": Case(
        "api-put alone", TRIAL, says=r"answered 405 \(allowed there: PUT\)", fails=True,
        left_open=r"method: .*PUT is allowed there", filled={"method": "PUT"}, whole=True,
    ),
    "order ids as integers": Case(
        "api-numbers alone", TRIAL, wrote="arrival has the id by which the API knows an order", whole=True
    ),
    "orders by GraphQL": Case(
        "api-graphql alone", TRIAL, says=r"answered 405 \(allowed there: GET\)", fails=True,
        left_open="chaos_order: .*orders go in elsewhere", filled={"chaos_order": GRAPHQL["chaos_order"]},
        changed={key: value for key, value in GRAPHQL.items() if key not in ("chaos_order", "chaos_services")},
    ),
    "a bearer token, not given": Case(
        "api-token alone", left_open="chaos_api_headers: .*API_TOKEN of api-token", filled=BEARER,
    ),
    "a bearer token": Case(
        "api-token alone", BEARER, wrote="chaos_api_headers was given, and is not written", changed=BEARER, whole=True
    ),
    "an authority of its own, not given": Case(
        "api-tls alone", left_open="chaos_api_ca: ", filled={"chaos_api_ca": "{file ca.pem}"}, whole=True,
    ),
    "an authority of its own": Case(
        "api-tls alone", {"chaos_api_ca": "{file ca.pem}"}, wrote='chaos_api_url: "https://127.0.0.1:',
    ),
    "containers made otherwise": Case("made otherwise", services=OTHERWISE),
    "three replicas": Case("api-many alone", services={"api": "api-many"}),
    "services of odd names": Case("with odd ones", services={"cache": "redis"}),
    "a cache called as an option is": Case(
        "an oddly named cache", services={"cache": test_containers.OPTION}, whole=True
    ),
    "forty other containers": Case(
        "with odd ones", services={"cache": "redis"}, make=test_containers.start_others,
        unmake=test_containers.remove_others,
    ),
    "a service that is down": Case(
        "with odd ones", left_open="proxy: ", filled={"proxy": "nginx"},
        make=test_containers.told("stop", "nginx-1"), unmake=test_containers.told("start", "nginx-1"),
    ),
    # its API no longer lists them, so that nothing tells how one looks; here the usual way fits
    "orders keyed by id": Case("keyed by id", wrote="id id", left_open=r"chaos_order: .*limit=1: 500"),
    "somebody trades in the symbol": Case("traded by others"),
    "two tables of orders": Case(
        "with two tables", left_open=r"lookup: .*desk\.orders and trading\.orders look alike", filled=LOOKUPS
    ),
    "two tables of orders, and a trial order": Case(
        "with two tables", TRIAL, wrote="a trial order was stored there, and desk.orders looks alike", whole=True
    ),
    "passwords on the socket": Case(
        "with passwords", left_open=r"password: ", filled=PASSWORD, whole=True
    ),
    "passwords on the socket, and one given": Case(
        "with passwords", {"chaos_database": PASSWORD}, wrote="trading.orders", left_open="password: .*is not written",
        filled=PASSWORD,
    ),
    "a database and a cache with TLS": Case("with TLS", whole=True),
    "a pooler before the database": Case(
        "pooled", services={"database": "postgres", "api": "trading-api"}, says="by way of pool", whole=True
    ),
    "a primary and a standby": Case("with a standby", services={"database": "postgres"}, whole=True),
    "published on ports that the engine chooses": Case("published", services=OTHERWISE),
    "published on IPv6": Case("api on [::1]", services={"api": "api-six"}, wrote=r"published at \[?::1"),
    "an API that listens on IPv6 alone": Case(
        "api on IPv6 alone", services={"api": "api-six"}, wrote=r'chaos_api_url: "http://\[fd', whole=True
    ),
    "an API in the network of another service": Case("api as a guest", services={"api": "api-guest"}),
    "a database in two networks": Case("in two networks"),
    "a network without a way out": Case("inside"),
    "addresses of its own": Case("with addresses", services=OTHERWISE),
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each case on its exchange; those of one exchange come in a row."""
    ordered = sorted(CASES.items(), key=lambda item: list(EXCHANGES).index(item[1].exchange))
    if "case" in metafunc.fixturenames:
        metafunc.parametrize(
            ("case", "exchange"),
            [
                pytest.param(one, one.exchange, id=name, marks=() if name in QUICK else pytest.mark.full)
                for name, one in ordered
            ],
            indirect=["exchange"],
        )


def run(
    playbook: str, exchange: Shaped, folder: Path, *words: str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run a playbook with variables; none of what it prints is a secret or a traceback."""
    given = folder / "given.json"
    given.write_text(json.dumps(fill_in(variables, exchange)))
    done = subprocess.run(
        [*support.command(playbook), *words, "-e", f"@{given}"], cwd=support.ROOT, env=support.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=200,
    )  # fmt: skip
    given.unlink()
    assert not [one for one in SECRETS if one in done.stdout]
    assert "Traceback" not in done.stdout
    return done


def discover(case: Case, exchange: Shaped, folder: Path) -> Path:
    """Have discover write an inventory; what it printed and wrote is what it must be."""
    path = folder / "found.yml"
    done = run(
        DISCOVER, exchange, folder, "-vvv",
        chaos_project=exchange.project, discover_inventory=str(path), **case.given,
    )  # fmt: skip
    assert (done.returncode != 0) is case.fails, done.stdout[-4000:]
    assert re.search(case.says, done.stdout), done.stdout[-4000:]
    text = path.read_text()
    assert not [one for one in SECRETS if one in text]
    told = " ".join(re.sub(r"\s*#\s*", " ", text).split())
    assert re.search(case.wrote, text) or re.search(case.wrote, told), text
    return path


def fill_what_is_open(case: Case, exchange: Shaped, path: Path) -> None:
    """Write what a person fills in above the one line that asks for it; nothing else is changed."""
    lines = path.read_text().splitlines()
    asking = [at for at, line in enumerate(lines) if line.strip().startswith(FILL_IN)]
    assert len(asking) == bool(case.left_open), path.read_text()
    for at in asking:
        end = next(each for each in range(at + 1, len(lines)) if not lines[each].strip().startswith("#   "))
        asked = " ".join(line.strip().lstrip("# ") for line in lines[at:end])
        assert re.search(rf"fill in: {case.left_open}", asked), asked
        indent = lines[at][: -len(lines[at].lstrip())]
        filled = fill_in(case.filled, exchange)
        lines[at:at] = [f"{indent}{key}: {json.dumps(value)}" for key, value in filled.items()]
    path.write_text("\n".join(lines) + "\n")


def run_first_experiment(case: Case, exchange: Shaped, folder: Path, inventory: Path) -> None:
    """Run 01 with short windows: judged, its effect proven, no order lost or left, all as before."""
    reports = folder / "reports"
    reports.mkdir()
    done = run(
        support.EXPERIMENT, exchange, folder, "-i", str(inventory),
        chaos_report_dir=str(reports), **support.SHORT, **case.changed,
    )  # fmt: skip
    report = require_judged(reports, done.stdout)
    # that few enough were lost to be seen, a machine at other work cannot say; that all were found, it can
    assert re.search(
        r"ledger\.json: 0 of [1-9]\d* acknowledged", str(report.finding("data_loss")["evidence"])
    )


def test_its_inventory_runs_preflight_and_the_first_experiment(
    case: Case, exchange: Shaped, tmp_path: Path
) -> None:
    try:
        case.make(exchange)
        inventory = discover(case, exchange, tmp_path)
        fill_what_is_open(case, exchange, inventory)
        known = yaml.safe_load(inventory.read_text())["exchange"]["vars"]
        assert {role: known["chaos_services"].get(role) for role in case.services} == case.services
        done = run(PREFLIGHT, exchange, tmp_path, "-i", str(inventory), chaos_trial=True, **case.changed)
        said = " ".join(done.stdout.split())
        assert done.returncode == 0, done.stdout[-4000:]
        assert re.search(f"{ACCEPTED}(cancelled|filled at once)", said), said
        assert re.search(r"\b01 Database sudden death \S+ (ready|degraded)", said), said
        assert "calls the trial order" not in said
        if case.whole:
            run_first_experiment(case, exchange, tmp_path, inventory)
    finally:
        case.unmake(exchange)


@pytest.mark.full
@pytest.mark.parametrize("exchange", ["keyed by id"], indirect=True)
def test_who_cannot_see_the_engine_s_processes_is_told_so(exchange: Shaped, tmp_path: Path) -> None:
    """Nothing is written by who sees other processes than the engine's: what they told would be of somebody else."""
    path = tmp_path / "found.yml"
    words = support.command(DISCOVER, chaos_project=exchange.project, discover_inventory=str(path))
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", *words], cwd=support.ROOT, env=support.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Run on the engine's own host" in " ".join(done.stdout.split())
    assert not path.exists()
