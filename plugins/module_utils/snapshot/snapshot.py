# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host looks like before and after: the only basis of the *restored* verdict.

A snapshot is flat: ``{kind: {what: value}}``, strings throughout, so that comparing two is one loop and a
leftover names itself. Nothing here is used by a fault or its undo.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ..common import clock
from ..common.errors import ChaosError, PasswordWanted
from ..common.json_files import read_object, write_json
from ..common.secret import make_key, seal_environment, seal_text
from ..exchange import fault_entry
from ..exchange.database import admin_store_of_run, login_of, query_rows
from ..host.docker_engine import Container, DockerEngine
from ..host.postgres.in_container import ask_container
from ..run.folder import SEALING, RunDir
from .host import HOST, cgroup_limits, list_executables, list_listeners, our_processes
from .network import read_networks

Snapshot = dict[str, dict[str, str]]

#: Engine data that is not configuration: identities, and what the kernel hands out anew at each start.
_VOLATILE = ("Hostname", "ContainerIDFile", "Image")
_SETTINGS = (
    "SELECT name || '=' || setting || CASE WHEN pending_restart THEN ', another from the next start' ELSE '' END "
    "FROM pg_settings WHERE source NOT IN ('default', 'client', 'session', 'override') "
    "UNION ALL SELECT 'role ' || rolname || '=' || coalesce(array_to_string(rolconfig, ','), '') "
    "|| ' limit ' || rolconnlimit "
    "FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1"
)
#: What a snapshot holds beside the host's state: how it was read, and what is sure to differ.
_NO_STATE = ("unchecked", "started_at", "health_due")
#: Kinds of which only what came is a leftover: what went had an end of its own.
_COMES_AND_GOES = ("executable", "process")
_SETTLE_S = 15.0


def take_snapshot(run: RunDir) -> Snapshot:
    """Read the whole snapshot. What this user may not read is listed under ``unchecked`` with the reason."""
    engine = DockerEngine.connect_for(run)
    targets = engine.containers(run.spec.project)
    found: Snapshot = {"unchecked": {}}
    for kind, part in (
        *_containers(targets, _sealing_key(run)).items(),
        ("executable", list_executables({_label(t): t.id for t in targets if t.running})),
        ("process", our_processes(str(run.path))),
        ("health_due", {_label(t): f"{_check_left_s(t):.0f}" for t in targets if t.running}),
    ):
        found[kind] = part
    _guarded(found, "cgroup limits", lambda: {"cgroup": cgroup_limits(_pids(targets))})
    _guarded(
        found,
        "listeners",
        lambda: {
            "listener": list_listeners(
                {HOST: os.getpid(), **_pids(targets)}, engine.published_by_others(run.spec.project)
            )
        },
    )
    _guarded(
        found,
        "network namespaces",
        lambda: read_networks({HOST: os.getpid(), **_pids(targets)}, engine.bridges(run.spec.project)),
    )
    _guarded(found, "PostgreSQL settings", lambda: {"postgres_setting": _settings(run, engine, targets)})
    return found


def wait_settled(run: RunDir, before: Snapshot, within: float = _SETTLE_S) -> Snapshot:
    """Take snapshots until one equals ``before`` (restarts apart); returns the last, after ``within`` seconds at most.

    On a slow host that is so many times longer. Of what comes and goes the last one tells what two in a row have seen.
    """
    until, last = clock.read() + within * run.slow, None
    while True:
        after = take_snapshot(run)
        if not find_differences(before, after):
            return after
        if clock.read() >= until:
            return after if last is None else drop_passing(last, after)
        last = after
        clock.sleep(0.5)


def drop_passing(last: Snapshot, after: Snapshot) -> Snapshot:
    """Return ``after`` without what comes and goes and was not there in ``last``: a health check caught in the act."""
    return {
        kind: {what: value for what, value in part.items() if what in last.get(kind, {})}
        if kind in _COMES_AND_GOES
        else part
        for kind, part in after.items()
    }


def find_differences(before: Snapshot, after: Snapshot) -> list[dict[str, str | None]]:
    """Return every leftover as {kind, what, before, after}; None where a side has no such thing.

    A container's start time is no state of its own, and a process of an application that is gone again
    (a health check) is none either: only programs that came are leftovers.
    """
    found: list[dict[str, str | None]] = []
    for kind in sorted(set(before) | set(after)):
        if kind in _NO_STATE:
            continue
        old, new = before.get(kind, {}), after.get(kind, {})
        for what in sorted(set(old) | set(new)):
            gone = what not in new
            if kind == "container_health" and what in still_starting(after):
                continue
            if old.get(what) != new.get(what) and not (kind in _COMES_AND_GOES and gone):
                found.append({"kind": kind, "what": what, "before": old.get(what), "after": new.get(what)})
    return found


def still_starting(after: Snapshot) -> list[str]:
    """Return the containers whose health check has not spoken yet, and by its own settings need not have."""
    return [
        what
        for what, health in after.get("container_health", {}).items()
        if health == "starting" and float(after.get("health_due", {}).get(what, 0)) > 0
    ]


def compare_snapshots(
    before: Snapshot, after: Snapshot, events: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return {leftovers, restarts, unasked_restarts, still_starting, unchecked}.

    ``restarts`` counts containers of a service that were started anew; ``unasked_restarts`` names those
    services among them that no injected fault named.
    """
    injected = [event for event in events if event["event"] == "fault_injected"]
    asked = {service for event in injected for service in fault_entry.services_of(event)}
    restarts: dict[str, int] = {}
    for what, started in after.get("started_at", {}).items():
        if before.get("started_at", {}).get(what) not in (None, started):
            service = what.rpartition(".")[0]
            restarts[service] = restarts.get(service, 0) + 1
    unchecked = {**before.get("unchecked", {}), **after.get("unchecked", {})}
    return {
        "leftovers": find_differences(before, after),
        "restarts": restarts,
        "unasked_restarts": sorted(set(restarts) - asked),
        "still_starting": [
            f"{what}: up to {after['health_due'][what]} s more" for what in sorted(still_starting(after))
        ],
        "unchecked": [f"{what}: {reason}" for what, reason in sorted(unchecked.items())],
    }


def _check_left_s(container: Container) -> float:
    """Return for how long a container's health check need not have spoken yet, in seconds; below 0: it is overdue."""
    try:
        started = datetime.fromisoformat(f"{container.started_at[:19]}+00:00").timestamp()
    except ValueError:
        return 0.0
    return started + container.check_needs_s - time.time()


def _label(container: Container) -> str:
    return f"{container.service}.{container.number}"


def _pids(targets: Sequence[Container]) -> dict[str, int]:
    return {_label(container): container.pid for container in targets if container.running and container.pid}


def _sealing_key(run: RunDir) -> str:
    """Return the key under which what may be secret is sealed in all snapshots of a run; it goes with the run."""
    known = read_object(run.file(SEALING)).get("key")
    if isinstance(known, str):
        return known
    made = make_key()
    write_json(run.file(SEALING), {"key": made}, sync=True)
    return made


def seal_config(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a container's configuration with what its owner may hide there sealed: environment and command lines.

    A change is seen all the same, and neither text nor record ever hold a password.
    """
    sealed = dict(config)
    if sealed.get("Env"):
        sealed["Env"] = seal_environment(sealed["Env"], key)
    for name in ("Cmd", "Entrypoint", "Healthcheck"):
        if sealed.get(name):
            sealed[name] = seal_text(json.dumps(sealed[name], sort_keys=True, default=str), key)
    return sealed


def _containers(targets: Sequence[Container], key: str) -> Snapshot:
    config: dict[str, str] = {}
    for container in targets:
        data = asdict(container)
        data["config"] = seal_config(data["config"], key)
        for part in ("host_config", "config"):
            config.update(
                {f"{_label(container)} {key}": value for key, value in flatten_config(part, data[part])}
            )
        config[f"{_label(container)} networks"] = ", ".join(sorted(container.addresses))
        config[f"{_label(container)} image"] = container.image
    return {
        "container_state": {_label(t): "running" if t.running else t.status for t in targets},
        "container_health": {_label(t): t.health for t in targets if t.health and t.running},
        "restart_policy": {_label(t): t.restart_policy for t in targets},
        "started_at": {_label(t): t.started_at for t in targets if t.running},
        "container_config": config,
    }


def flatten_config(name: str, value: Any) -> list[tuple[str, str]]:
    """Return every leaf of nested engine data as (dotted path, text); empty ones the engine writes in several ways."""
    if isinstance(value, Mapping):
        return [
            leaf
            for key, part in value.items()
            if key not in _VOLATILE
            for leaf in flatten_config(f"{name}.{key}", part)
        ]
    return [] if value is None or value == [] else [(name, str(value))]


def _settings(run: RunDir, engine: DockerEngine, targets: Sequence[Container]) -> dict[str, str]:
    database = admin_store_of_run(run)
    if database.get("address"):
        return _pairs(query_rows(engine, "", database, _SETTINGS))
    running = [
        container for container in targets if container.service == database["service"] and container.running
    ]
    if not running:
        raise ChaosError("the database does not run")
    login = login_of(database, running[0].name)
    try:
        return _pairs(ask_container(engine, running[0], login, _SETTINGS, read_only=True))
    except PasswordWanted as error:
        of = "admin (user and password)" if run.spec.database.admin else "password"
        raise ChaosError(f"role {login.user} is asked for a password; set chaos_database.{of}") from error


def _pairs(rows: Iterable[Sequence[str]]) -> dict[str, str]:
    return dict(row[0].split("=", 1) for row in rows if row and "=" in row[0])


def _guarded(found: Snapshot, what: str, part: Any) -> None:
    try:
        found.update(part())
    except (OSError, ChaosError) as error:
        found["unchecked"][what] = str(error)
