# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role variables of any value: the run takes them, or says in one sentence which is wrong, before anything is done.

The playbooks run whole, up to the host's engine: there is none at the address they are given.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.plugin_utils.fleet import role_variables
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tests.unit.behaviour import playbook
from tests.unit.behaviour.wrong_values import (
    ANY,
    EXPERIMENTS,
    FOREIGN,
    check_screen,
    failures_of,
    options_of,
    variables_of,
    wrong_variables,
)

PLAYBOOKS = {
    path.stem[3:].replace("-", "_"): path.name for path in (playbook.ROOT / "playbooks").glob("[01]?-*.yml")
}


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_engine", "one_process")]


@dataclass(frozen=True)
class Case:
    """An experiment, what is set for it, and an inventory; LOCAL in it stands for this machine."""

    experiment: str
    variables: dict[str, Any]
    hosts: str = "[exchange]\nh1 LOCAL\n"
    group: str = ""

    def lay_out(self, folder: Path) -> tuple[Path, dict[str, Any]]:
        """Write the inventory; returns it, and what is given with -e."""
        (folder / "reports").mkdir()
        (folder / "group_vars").mkdir()
        (folder / "group_vars" / "exchange.yml").write_text(self.group)
        python = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
        (folder / "hosts").write_text(self.hosts.replace("LOCAL", python))
        places = {"chaos_report_dir": str(folder / "reports"), "chaos_state_dir": str(folder / "state")}
        return folder / "hosts", {"chaos_become": False, **places, **self.variables}


def play_for_real(case: Case) -> playbook.Played:
    """Play it by ansible-playbook itself."""
    with tempfile.TemporaryDirectory() as name:
        inventory, given_to_it = case.lay_out(Path(name))
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory]
        done = subprocess.run(
            [*map(str, command), f"playbooks/{PLAYBOOKS[case.experiment]}", "-e", json.dumps(given_to_it)],
            cwd=playbook.ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(playbook.ROOT / "ansible.cfg"), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    return playbook.Played(done.returncode, f"{done.stdout}{done.stderr}")


def play(case: Case) -> playbook.Played:
    """Play it in this process; a host that was refused, or has no engine, keeps nothing."""
    with tempfile.TemporaryDirectory() as name:
        inventory, given_to_it = case.lay_out(Path(name))
        played = playbook.play(PLAYBOOKS[case.experiment], inventory, given_to_it)
        assert not [path for path in (Path(name) / "state").rglob("*") if path.is_file()], played.screen
    return played


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, str]:
    """A case with one variable that may be wrong, and its name: with -e, or for the group."""
    experiment = draw(st.sampled_from(EXPERIMENTS))
    name, value = draw(wrong_variables(experiment))
    return Case(experiment, {name: value}), name


@pytest.mark.parametrize(
    "experiment", [EXPERIMENTS[0], *(pytest.param(one, marks=pytest.mark.full) for one in EXPERIMENTS[1:])]
)
def test_an_experiment_with_nothing_set_comes_to_the_engine(experiment: str) -> None:
    played = play(Case(experiment, {}))
    assert check_screen(played.code, played.screen, "")


@given(cases())
def test_a_variable_of_any_value_is_taken_or_told(case: tuple[Case, str]) -> None:
    played = play(case[0])
    check_screen(played.code, played.screen, case[1])


@pytest.mark.full
def test_the_real_playbooks_say_the_same() -> None:
    number = int(os.environ.get("CHAOS_TEST_SEED") or secrets.randbelow(10**6))
    print(f"CHAOS_TEST_SEED={number}")

    @seed(number)
    @settings(max_examples=20, phases=[Phase.generate])
    @given(cases())
    def compare(case: tuple[Case, str]) -> None:
        here, real = play(case[0]), play_for_real(case[0])
        assert check_screen(real.code, real.screen, case[1]) == check_screen(here.code, here.screen, case[1])
        assert (real.code, failures_of(real.screen)) == (here.code, failures_of(here.screen))

    compare()


# -- inventories ----------------------------------------------------------------------------------------------

JUNK = """!vault |
  $ANSIBLE_VAULT;1.1;AES256
  3338363138303361613334386561393735663333366137396438306464303566326234313262376
  6234
"""
LOOP = "chaos_symbol: '{{ chaos_user_id }}'\nchaos_user_id: '{{ chaos_symbol }}'\n"


INVENTORIES = [
    ("[brokers]\nh1 LOCAL\n", "", "the inventory has no such host"),
    ("[exchange]\nh1 LOCAL chaos_rate=fast\n", "", "chaos_rate is 'fast'; it must be a number"),
    ("[exchange]\nh1 LOCAL chaos_placebo=maybe\n", "", "chaos_placebo is 'maybe'; it must be true or false."),
    ("[exchange]\nh1 LOCAL\n[exchange:vars]\nchaos_repeat=0x\n", "", "chaos_repeat is '0x'; it must be a whole"),
    ("[exchange]\nh1 LOCAL chaos_services=database\n", "", "chaos_services is 'database'; it must be a dict"),
    ("", "chaos_rate: [1, 2]\n", "chaos_rate is [1, 2]; it must be a number"),
    ("", "chaos_steady_roles: [[readiness]]\n", "chaos_steady_roles[0] is ['readiness']; it must be text."),
    ("", "chaos_services: {database: postgres}\n", "chaos_services has no cache, api, proxy; give the compose"),
    ("", "chaos_services: {1: postgres}\n", "chaos_services has a key 1; a key must be text"),
    ("", "chaos_external: {database: 5}\n", "chaos_external.database is 5; it must be a dictionary."),
    ("", "chaos_external: {database: {address: a, port: 99999}}\n", "chaos_external.database.port is 99999;"),
    ("", "chaos_symbol: NO\n", "chaos_symbol is false; it must be text: where a word such as yes, no"),
    ("", "chaos_symbol: '{{ whose }}'\n", "chaos_symbol is a template that cannot be filled in ('whose' is undef"),
    ("", LOOP, "chaos_user_id is a template that cannot be filled in (Recursive loop detected"),
    ("", f"chaos_user_id: {JUNK}", "chaos_user_id is a template that cannot be filled in ("),
    ("", "chaos_database: {name: a, user: b, password: [1]}\n", "(it is not shown here)"),
    ("", "chaos_database: {name: a, user: b, password: \"geheim\\0\"}\n", "(it is not shown here)"),
]  # fmt: skip


@pytest.mark.parametrize(("hosts", "group", "said"), INVENTORIES)
def test_a_wrong_inventory_is_told_in_one_sentence(hosts: str, group: str, said: str) -> None:
    case = Case("database_sudden_death", {}, hosts or "[exchange]\nh1 LOCAL\n", group)
    played = play(case)
    assert not FOREIGN.search(played.screen), played.screen
    assert said in " ".join(failures_of(played.screen)), played.screen
    assert "geheim" not in played.screen
    assert played.code == 2


@pytest.mark.full
@pytest.mark.parametrize(("hosts", "group", "said"), INVENTORIES[::3])
def test_real_playbooks_say_so_of_a_wrong_inventory(hosts: str, group: str, said: str) -> None:
    played = play_for_real(Case("database_sudden_death", {}, hosts or "[exchange]\nh1 LOCAL\n", group))
    assert not FOREIGN.search(played.screen), played.screen
    assert said in " ".join(failures_of(played.screen)), played.screen
    assert played.code == 2


def test_an_inventory_in_which_everything_is_text_is_taken() -> None:
    words = "chaos_placebo=true chaos_rate=7.5 chaos_repeat=1 chaos_accept_noise=no chaos_floor=5"
    played = play(Case("database_sudden_death", {}, f"[exchange]\nh1 LOCAL {words}\n"))
    assert check_screen(played.code, played.screen, "")


def test_of_two_hosts_the_one_with_a_wrong_value_is_named_and_the_other_goes_on() -> None:
    played = play(Case("database_sudden_death", {}, "[exchange]\nh1 LOCAL chaos_rate=fast\nh2 LOCAL\n"))
    (said,) = failures_of(played.screen)
    assert said.startswith("✗ h1")
    assert "chaos_rate is 'fast'" in said
    assert any("h2" in line and "No Docker engine answers" in line for line in played.screen.splitlines())
    assert played.code == 2


# -- the check alone, often -----------------------------------------------------------------------------------


@settings(max_examples=300)
@given(data=st.data())
def test_the_check_of_variables_ends_in_sentences(data: Any) -> None:
    known = variables_of(data.draw(st.sampled_from(EXPERIMENTS)))
    several = data.draw(st.dictionaries(st.sampled_from(sorted(known)), ANY, max_size=3))
    for sentence in role_variables.find_problems(known, several.__getitem__):
        assert any(sentence.startswith(name) for name in several)
        assert sentence.endswith(".")
        assert sentence.isprintable()
        assert len(sentence) < 400
        sentence.encode()


def test_every_default_is_good() -> None:
    for role in ("chaos", *EXPERIMENTS):
        options = options_of(role)
        defaults = {name: option["default"] for name, option in options.items() if "default" in option}
        assert role_variables.find_problems(options, defaults.__getitem__) == []


# -- preflight ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "gate", "code"), [(False, True, 0), (True, True, 2), (True, False, 0)])
def test_the_exit_code_of_preflight_says_whether_a_host_is_clean(
    tmp_path: Path, left: bool, gate: bool, code: int
) -> None:
    """There is no engine to undo anything with: a run that was left behind stays."""
    case = Case("placebo", {"chaos_gate": gate})
    inventory, given_to_it = case.lay_out(tmp_path)
    if left:
        (tmp_path / "state" / "runs" / "exp-01-20261130-120000").mkdir(parents=True, mode=0o700)
    played = playbook.play("00-preflight.yml", inventory, given_to_it)
    assert not FOREIGN.search(played.screen), played.screen
    assert ("h1 is not clean: playbooks/halt.yml ends what is under way there" in played.screen) is bool(code)
    assert "READINESS of h1" in played.screen
    assert played.code == code


def test_preflight_says_which_variable_is_wrong(tmp_path: Path) -> None:
    case = Case("placebo", {"chaos_external": {"cache": 5}, "database_lock_table": ["orders"]})
    played = playbook.play("00-preflight.yml", *case.lay_out(tmp_path))
    (said,) = failures_of(played.screen)
    assert "chaos_external.cache is 5; it must be a dictionary." in said
    assert "database_lock_table is ['orders']; it must be text." in said
    assert played.code == 2


# -- a host that is not what it seems -------------------------------------------------------------------------


def test_what_a_host_answers_goes_into_no_other_file_and_is_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any module's answer may hold the keys by which the controller's own actions tell of a report."""
    inventory, given_to_it = Case("placebo", {}).lay_out(tmp_path)
    (tmp_path / "mine.log").write_text("mine\n")
    sample = json.loads((playbook.ROOT / "tests/unit/data/record-passed.json").read_text())
    (tmp_path / "forged.json").write_text(json.dumps(sample))
    forged = {
        "chaos_report": {"state": "reserved", "stem": str(tmp_path / "mine"), "hosts": ["h1"]},
        "chaos_record": sample,
        "files": {"json": str(tmp_path / "forged.json")},
        "chaos_lines": [
            {"at": "2026-11-30T12:00:00Z", "level": "ok", "text": "I speak for all", "host": "h9"}
        ],
    }
    monkeypatch.setattr(
        ActionBase,
        "_execute_module",
        lambda *given, **more: {**playbook.execute_module(*given, **more), **forged},
    )
    played = playbook.play(PLAYBOOKS["placebo"], inventory, given_to_it)
    assert (tmp_path / "mine.log").read_text() == "mine\n"
    assert "OUTCOME: PASSED" not in played.screen
    assert "h9" not in played.screen
    assert "I speak for all" in played.screen


# -- what the playbook itself goes by -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"chaos_targets": "~["}, "which is every host"),
        ({"chaos_targets": "["}, "which is every host"),
        (
            {"chaos_targets": "exchange[5]"},
            "which Ansible cannot follow (No hosts matched the subscripted pattern",
        ),
        ({"chaos_targets": "~("}, "which Ansible cannot follow (Invalid host list pattern"),
        ({"chaos_experiment": 5}, "chaos_experiment is 5; it must be a dictionary."),
        ({"chaos_experiment": {"number": 1}}, "chaos_experiment must have name, title."),
        (
            {"chaos_experiment_role": "../../etc"},
            "chaos_experiment_role is '../../etc'; it must be a role's name",
        ),
        ({"chaos_experiment_role": [5]}, "chaos_experiment_role is [5]; it must be"),
        ({"chaos_experiment_role": "acme.chaos.none"}, "There is no role 'acme.chaos.none' where this"),
        ({"chaos_repeat": 5000}, "chaos_repeat is 5000; it must be from 1 to 1000."),
        ({"chaos_run": 5}, "chaos_run is 5; it must be a dictionary."),
        ({"chaos_waves": ["x"]}, "chaos_waves has 'x'; it must be a number of hosts"),
        (
            {"chaos_external": {"cache": {"address": "no.host.invalid"}}},
            "✗ Host no.host.invalid has no address",
        ),
        ({"chaos_become": "maybe"}, "chaos_become is 'maybe'; it must be true or false."),
    ],
)
def test_what_the_playbook_goes_by_is_told_as_well(variables: dict[str, Any], said: str) -> None:
    played = play(Case("placebo", variables))
    assert not FOREIGN.search(played.screen), played.screen
    (sentence,) = failures_of(played.screen)
    assert said in sentence
    assert played.code == 2
