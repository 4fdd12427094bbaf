# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of any value for every module that works on a host: one sentence, before anything is changed.

The modules run as they do on a host, up to its engine: there is none at the address they are given, so that none of
them gets as far as a change.
"""

from __future__ import annotations

import importlib
import io
import json
import tempfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from hypothesis import given
from hypothesis import strategies as st

from tests.module.core_support import Host, Project
from tests.unit.behaviour.test_generated_answers import TEXTS, TYPED
from tests.unit.behaviour.test_generated_files import VALUES

MODULES = Path(__file__).resolve().parents[3] / "plugins" / "modules"
#: These change the host's own packages and files, whatever exchange runs there.
OF_THE_HOST = {"libraries", "packages", "runtime"}
NAMES = sorted(
    path.stem
    for path in MODULES.glob("*.py")
    if path.stem not in OF_THE_HOST and "def main(" in path.read_text()  # else its action plugin does it all
)
#: What says where a module works stays in the test's own folder.
PLACES = {"state_dir", "runtime", "stem", "path"}

#: Right values, so that a wrong one beside them is looked at, too.
RIGHT: dict[str, Any] = {
    "run_id": "exp-01-20261130-120000",
    "fault": "outage",
    "project": "lab",
    "service": "postgres",
    "ttl": 30,
    "phase": "baseline",
    "seconds": 0.1,
    "spec": Host(Project("lab", client=None), Path("/nonexistent")).spec(),
    "services": {"database": "postgres", "api": "trading-api"},
}


class Asked(Exception):  # no error: how a module's question is caught
    """A module has said which options it takes."""


def options_of(name: str) -> dict[str, dict[str, Any]]:
    """The options that a module asks Ansible for."""

    def ask(_self: basic.AnsibleModule, argument_spec: dict[str, Any], **_more: Any) -> None:
        raise Asked(argument_spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(basic.AnsibleModule, "__init__", ask)
        patch.setattr(basic, "_ANSIBLE_ARGS", b'{"ANSIBLE_MODULE_ARGS": {}}')
        patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(Asked) as asked:
            load(name).main()
    return dict(asked.value.args[0])


def load(name: str) -> Any:
    """A module, imported."""
    return importlib.import_module(f"ansible_collections.exchange.chaos.plugins.modules.{name}")


def values_of(name: str, option: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values for an option: the right one, others of its type, which get past Ansible, some of another type."""
    any_other = others_of(option)
    return st.just(RIGHT[name]) | any_other if name in RIGHT else any_other


def others_of(option: dict[str, Any]) -> st.SearchStrategy[Any]:
    if option.get("choices"):
        return st.sampled_from([*option["choices"], "?"])
    kind = option.get("type", "str")
    if kind == "list" and option.get("elements") == "dict":
        return (
            st.lists(st.dictionaries(st.text(max_size=6) | st.just("id"), VALUES, max_size=4), max_size=3)
            | VALUES
        )
    if kind == "dict":
        keys = st.sampled_from(["database", "cache", "api", "proxy", "url", "rate"]) | st.text(max_size=4)
        return st.dictionaries(keys, VALUES | TEXTS, max_size=4) | VALUES
    return TYPED[kind] | VALUES


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_engine")]


def run_module(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a module with these arguments; returns what it answered. Whatever else it raises is the test's failure."""
    given_to_it = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": False}})
    said, complained = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.setattr(basic, "_ANSIBLE_ARGS", given_to_it.encode())
        patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with suppress(SystemExit):
            load(name).main()
    assert "Traceback" not in complained.getvalue()
    return dict(json.loads(said.getvalue().splitlines()[-1]))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_arguments_of_any_value_are_taken_or_refused_in_a_sentence(name: str, data: Any) -> None:
    known = options_of(name)
    wanted = {option for option, about in known.items() if about.get("required")}
    wanted |= set(known) & {"project", "service", "ttl", "spec", "runtime"}
    wanted |= set(data.draw(st.lists(st.sampled_from(sorted(known)), max_size=5, unique=True)))
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            option: data.draw(values_of(option, known[option])) for option in sorted(wanted - PLACES)
        }
        places = {"state_dir": f"{folder}/state", "runtime": f"{folder}/chaos.pyz"}
        arguments.update({option: path for option, path in places.items() if option in known})
        answer = run_module(name, arguments)
        left = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert "Traceback" not in json.dumps(answer)
    if answer.get("failed"):
        assert str(answer["msg"]).strip()
        assert len(str(answer["msg"])) < 2500
        assert left == [], "a refusal leaves nothing"
    json.dumps(answer).encode()
