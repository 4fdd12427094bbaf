# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refusal advises helps: provoked in a whole playbook, then done, and the run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.behaviour import playbook
from tests.unit.behaviour.test_generated_variables import PLAYBOOKS, Case
from tests.unit.behaviour.wrong_values import FOREIGN, failures_of

ONE = "[exchange]\nh1 LOCAL\n"
SIX = "[exchange]\nh[1:6] LOCAL\n"


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_engine", "one_process")]


def play(folder: Path, case: Case, *options: str) -> playbook.Played:
    """Play a case in a folder of its own."""
    folder.mkdir()
    played = playbook.play(PLAYBOOKS[case.experiment], *case.lay_out(folder), options=options)
    assert not FOREIGN.search(played.screen), played.screen
    return played


def given(hosts: str = ONE, group: str = "", **variables: Any) -> Case:
    """A placebo's run on these hosts."""
    return Case("placebo", variables, hosts, group)


@pytest.mark.parametrize(
    ("wrong", "said", "right"),
    [
        (given(f"{ONE}[prod]\nh1\n"), "or give -e chaos_i_accept_production=true on the command line",
         given(f"{ONE}[prod]\nh1\n", chaos_i_accept_production="true")),
        (given(group="chaos_sample: 1\n"), "take it out, and give -e chaos_sample=… on the command line",
         given(chaos_sample="1")),
        (given(group="chaos_allowed_hours: 00:00-24:00\n"), "set it in the group all, or give it by -e",
         given(f"{ONE}[all:vars]\nchaos_allowed_hours='00:00-23:59'\n")),
        (given(group="chaos_allowed_hours: 00:00-23:59\n"), "set it in the group all, or give it by -e",
         given(chaos_allowed_hours="00:00-23:59")),
        (given(chaos_allowed_hours="0-23"), "it must look like 09:00-17:00", given(chaos_allowed_hours="00:00-23:59")),
        (given(chaos_targets="all"), "name the group that may be broken, such as exchange",
         given(chaos_targets="exchange")),
        (given("[brokers]\nh1 LOCAL\n"), "put one into the group exchange", given()),
        (given(chaos_report_dir="/nowhere"), "set chaos_report_dir to one that is there", given()),
        (given(chaos_floor=10), "load.floor (10) is not below load.rate (10)", given(chaos_floor=9)),
        (given(chaos_services="database=a"), "-e '{\"chaos_services\": …}'",
         given(chaos_services={"database": "a", "cache": "b", "api": "c", "proxy": "d"})),
        (given(group="chaos_symbol: NO\n"), "put it in quotes", given(group="chaos_symbol: 'NO'\n")),
        (given(group="chaos_symbol: '{{ mine }}'\n"), "define what it names",
         given(group="chaos_symbol: '{{ mine }}'\nmine: X\n")),
        (given(chaos_otel_endpoint="127.0.0.1"), "", given(chaos_otel_endpoint="")),
    ],
)  # fmt: skip
def test_what_a_refusal_advises_helps(tmp_path: Path, wrong: Case, said: str, right: Case) -> None:
    refused = play(tmp_path / "wrong", wrong)
    assert refused.code == 2
    (sentence,) = failures_of(refused.screen)
    assert said in sentence
    taken = play(tmp_path / "right", right)
    assert (taken.code, failures_of(taken.screen)) == (0, []), taken.screen


def test_more_hosts_than_ansible_works_on_at_a_time(tmp_path: Path) -> None:
    refused = play(tmp_path / "wrong", given(SIX))
    (sentence,) = failures_of(refused.screen)
    assert "give -f 6 (or ANSIBLE_FORKS=6), or make chaos_waves smaller" in sentence
    taken = play(tmp_path / "forks", given(SIX), "-f", "6")
    assert (taken.code, failures_of(taken.screen)) == (0, [])
    smaller = play(tmp_path / "waves", replace(given(SIX), variables={"chaos_waves": [1, "50%"]}))
    assert "Plan: 6 hosts" in smaller.screen or "wave" in smaller.screen
    assert not any("at a time" in line for line in failures_of(smaller.screen))
