# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way into a fault: what the run's specification has is the source; an argument that says otherwise is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import clock
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError, PasswordWanted
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir

RUN = "exp-01-core"
SPEC = {
    "project": "lab",
    "windows": {"ttl_margin_s": 15},
    "database": {"name": "trading", "user": "trader"},
    "faults": [
        {"id": "outage", "kind": "kill", "target": "postgres", "hold_s": 5, "window_s": 5, "port": 5432},
        {"id": "throttle", "kind": "cpu", "target": "api", "hold_s": 9, "window_s": 10, "cores": "0.2"},
        {"id": "taken", "kind": "connections", "target": "postgres", "user": "trader", "database": "trading",
         "hold_s": 5, "window_s": 5},
    ],
}  # fmt: skip


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state folder with one run in it."""
    folder = tmp_path / "runs" / RUN
    folder.mkdir(parents=True)
    write_json(folder / "spec.json", SPEC)
    write_json(folder / "secrets.json", {"password": "s3cret"})
    return tmp_path


def wanted(kind: str, fault: str, state_dir: Path, **given: Any) -> dict[str, Any]:
    """What a call of the module comes to; all else that it takes has its default."""
    module = registry.by_kind(kind)
    options = {**fault_module.shared_arguments(), **module.KIND.arguments}
    defaults = {name: option.get("default") for name, option in options.items()}
    parameters = {**defaults, "run_id": RUN, "state_dir": str(state_dir), "fault": fault, **given}
    return fault_module.wanted_fault(module, parameters, {"run_id", "state_dir", "fault", *given})


def test_the_id_is_enough(state_dir: Path) -> None:
    found = wanted("kill", "outage", state_dir)
    told = {key: found[key] for key in ("id", "kind", "target", "project", "port", "ttl", "replicas", "hold")}
    assert told == {"id": "outage", "kind": "kill", "target": "postgres", "project": "lab", "port": 5432,
                    "ttl": 20.0, "replicas": "one", "hold": True}  # fmt: skip
    assert registry.by_kind("kill").check(found) == []
    assert float(wanted("cpu", "throttle", state_dir)["cores"]) == 0.2


@pytest.mark.parametrize(
    ("kind", "fault", "given"),
    [
        (
            "kill",
            "outage",
            {"hold": True, "service": "postgres", "ttl": 20.0, "port": 5432, "project": "lab"},
        ),
        ("kill", "outage", {"services": ["postgres"], "replicas": "one", "mode": "auto"}),
        ("cpu", "throttle", {"cores": 0.2}),
    ],
)
def test_what_says_the_same_is_no_contradiction(
    kind: str, fault: str, given: dict[str, Any], state_dir: Path
) -> None:
    assert wanted(kind, fault, state_dir, **given)["id"] == fault


@pytest.mark.parametrize(
    ("kind", "fault", "given", "sentence"),
    [
        (
            "kill",
            "outage",
            {"hold": False},
            "The argument hold of fault outage is False here and True in the run's",
        ),
        (
            "kill",
            "outage",
            {"service": "redis"},
            "The argument service of fault outage is 'redis' here and 'postgres'",
        ),
        ("kill", "outage", {"services": ["redis"]}, "The argument services of fault outage is"),
        (
            "kill",
            "outage",
            {"replicas": "all"},
            "The argument replicas of fault outage is 'all' here and 'one'",
        ),
        ("cpu", "throttle", {"cores": 0.1}, "The argument cores of fault throttle is 0.1 here and"),
        ("cpu", "throttle", {"ttl": 60.0}, "The argument ttl of fault throttle is 60.0 here and 25"),
        ("cpu", "outage", {}, "Fault outage of this run is of kind kill, not cpu."),
    ],
)
def test_what_says_otherwise_is_refused(
    kind: str, fault: str, given: dict[str, Any], sentence: str, state_dir: Path
) -> None:
    with pytest.raises(ChaosError) as refused:
        wanted(kind, fault, state_dir, **given)
    assert sentence in str(refused.value)


def test_outside_of_it_the_arguments_say_all(state_dir: Path) -> None:
    with pytest.raises(ChaosError, match="so its project, service, ttl must be given"):
        wanted("cpu", "another", state_dir)
    found = wanted("cpu", "another", state_dir, project="lab", service="api", ttl=30.0, cores=0.5)
    assert (found["target"], found["cores"], found["kind"]) == ("api", 0.5, "cpu")


def test_the_password_is_kept_apart_and_comes_from_there(state_dir: Path) -> None:
    assert wanted("connections", "taken", state_dir)["password"] == "s3cret"
    assert not wanted("kill", "outage", state_dir).get("password")


def test_a_given_specification_counts_only_without_a_run(state_dir: Path, tmp_path: Path) -> None:
    other = {**SPEC, "faults": [{**SPEC["faults"][1], "cores": "0.7"}]}  # type: ignore[index,dict-item]
    assert float(wanted("cpu", "throttle", state_dir, specification=other)["cores"]) == 0.2
    assert float(wanted("cpu", "throttle", tmp_path / "none", specification=other)["cores"]) == 0.7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e308])
def test_a_pause_that_is_none_is_told_by_its_name(value: float) -> None:
    (problem,) = fault_module.find_wrong_pauses({"id": "outage", "lead": value, "linger": 2.0})
    assert problem.startswith("The lead of fault outage is ")
    assert fault_module.find_wrong_pauses({"id": "outage", "lead": 0.0, "linger": 600.0}) == []


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -float("inf"), 0.0, 1e308])
def test_an_instant_that_is_none_arms_nothing(state_dir: Path, at: float) -> None:
    run = RunDir(state_dir / "runs" / RUN)
    write_json(run.file("spec.json"), {**SPEC, "anchor": vars(clock.take_anchor())})
    with pytest.raises(ChaosError, match="The instant agreed for fault outage is"):
        fault_module._agreed(run, {"id": "outage", "at": at})


@pytest.mark.parametrize("asks", [True, False])
def test_check_mode_has_no_password_and_leaves_the_plan_to_the_run(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, asks: bool
) -> None:
    """Any other refusal stays one."""

    def refused(*_given: Any) -> None:
        raise PasswordWanted("it asks") if asks else ChaosError("it is wrong")

    monkeypatch.setattr(fault_module, "plan_fault", refused)
    monkeypatch.setattr(fault_module.DockerEngine, "connect", lambda: None)
    call = wanted("connections", "taken", state_dir)
    if asks:
        found = fault_module.preview_fault(registry.by_kind("connections"), call)
        assert (found["changed"], found["plan"]) == (True, [])
        assert "told with the run's own plan" in found["chaos_lines"][0]["text"]
    else:
        with pytest.raises(ChaosError, match="it is wrong"):
            fault_module.preview_fault(registry.by_kind("connections"), call)
