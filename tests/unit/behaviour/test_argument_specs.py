"""Roles say of their variables what is true: specification, defaults and use agree, and wrong values are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.exchange.chaos.plugins.plugin_utils.discovery import filling
from ansible_collections.exchange.chaos.plugins.plugin_utils.live.results import failure_sentence

ROOT = Path(__file__).resolve().parents[3]
EXPERIMENTS = sorted(
    path.parents[1].name
    for path in (ROOT / "roles").glob("*/tasks/main.yml")
    if "name: exchange.chaos.chaos" in path.read_text()
)
ROLES = sorted(path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))


def load(role: str, name: str) -> Any:
    return yaml.safe_load((ROOT / "roles" / role / name).read_text())


def entry_points(role: str) -> dict[str, Any]:
    return dict(load(role, "meta/argument_specs.yml")["argument_specs"])


def options(role: str, entry: str = "main") -> dict[str, Any]:
    return dict(entry_points(role)[entry]["options"])


def defaults(role: str) -> dict[str, Any]:
    """The defaults; of a variable that is found on a host where nobody sets it, what the embedded exchange has."""
    embedded = load("chaos", "vars/main.yml")
    found = re.compile(r"\{\{ chaos_found\.variables\.(\w+) \| default\((\w+)\) \}\}")
    known = {}
    for name, value in load(role, "defaults/main.yml").items():
        matched = found.fullmatch(str(value))
        if matched:
            assert matched.groups() == (name, filling.name_default(name))
        known[name] = embedded[matched[2]] if matched else value
    return known


def test_every_role_has_a_specification() -> None:
    assert sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir()) == ROLES


@pytest.mark.parametrize("role", ["chaos", *EXPERIMENTS])
def test_defaults_and_specification_agree(role: str) -> None:
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    # not in defaults/main.yml: the list that an experiment hands over is the lifecycle's to default
    specified.pop("chaos_probes", None)
    specified.pop("chaos_gauges", None)
    assert specified == defaults(role)


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_specified(role: str) -> None:
    described = set().union(*(entry["options"] for entry in entry_points(role).values()))
    assert set(defaults(role)) <= described


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_is_a_file_of_tasks(role: str) -> None:
    for entry in entry_points(role):
        assert (ROOT / "roles" / role / "tasks" / f"{entry}.yml").is_file()


def validated(values: dict[str, Any], role: str = "chaos", entry: str = "choose") -> list[str]:
    """What Ansible says of a role's arguments, the way the role's first task asks it."""
    spec = options(role, entry)
    needed = {"chaos_experiment": {"number": 1, "name": "database_sudden_death", "title": "Sudden death"}}
    known = {**(needed if "chaos_experiment" in spec else {}), **values}
    found = ArgumentSpecValidator(spec).validate(known, validate_role_argument_spec=True)
    return [str(message) for message in found.error_messages]


@pytest.mark.parametrize(
    ("role", "entry"), [("chaos", "choose"), *((experiment, "main") for experiment in EXPERIMENTS)]
)
def test_the_defaults_are_valid(role: str, entry: str) -> None:
    assert validated(defaults(role), role, entry) == []


def test_numbers_from_the_command_line_are_text_and_valid() -> None:
    text = {
        "chaos_rate": "20",
        "chaos_baseline_s": "2.5",
        "chaos_gate": "false",
        "chaos_forbidden_groups": "live,prod",
    }
    assert validated(text) == []
    assert validated({"database_sudden_death_outage_s": "5"}, "database_sudden_death", "main") == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("chaos_rate", "abc", "chaos_rate must be a number; what was given cannot be read as that."),
        ("chaos_gate", "maybe", "chaos_gate must be true or false; what was given cannot be read as that."),
        ("chaos_services", 5, "chaos_services must be a dictionary; what was given cannot be read as that."),
        (
            "chaos_ports",
            {"database": "five", "cache": 6379, "api": 8080, "proxy": 80},
            "chaos_ports.database must be a whole number; what was given cannot be read as that.",
        ),
        ("chaos_ports", {"database": 5432}, "chaos_ports must have api, cache, proxy."),
        (
            "chaos_thresholds",
            {"p99": 500},
            "chaos_thresholds has no p99; it may have error_ratio, loss_visible_ms, p99_ms.",
        ),
        ("chaos_rescue", "reboot", "chaos_rescue must be one of none, restart; it is reboot."),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(name: str, value: Any, sentence: str) -> None:
    errors = validated({name: value})
    assert failure_sentence({"msg": "Validation of arguments failed:", "argument_errors": errors}) == sentence


def test_a_missing_variable_is_named() -> None:
    errors = (
        ArgumentSpecValidator(options("chaos", "verdict"))
        .validate({}, validate_role_argument_spec=True)
        .error_messages
    )
    assert failure_sentence({"argument_errors": errors}) == "chaos_experiment, chaos_run must be given."


def test_words_of_ansible_that_we_do_not_know_are_passed_on() -> None:
    assert failure_sentence({"argument_errors": ["something new"]}) == "something new."


def test_a_command_that_failed_says_why() -> None:
    said = {"msg": "non-zero return code", "rc": 1, "stderr": "trying\nThere is no dockerd on this host.\n"}
    assert failure_sentence(said) == "non-zero return code: There is no dockerd on this host."


def test_every_variable_that_a_host_may_tell_has_such_a_default() -> None:
    lazy = {name for name, value in load("chaos", "defaults/main.yml").items() if "chaos_found" in str(value)}
    assert lazy == set(filling.FILLED)
