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
import os
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from hypothesis import given
from hypothesis import strategies as st

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


def options_of(name: str) -> dict[str, dict[str, Any]]:
    """A module's own options, as its documentation says them."""
    imported = importlib.import_module(f"ansible_collections.exchange.chaos.plugins.modules.{name}")
    return dict(yaml.safe_load(imported.DOCUMENTATION).get("options") or {})


def values_of(option: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values for an option: mostly of its type, so that they get past Ansible; some of another."""
    if option.get("choices"):
        return st.sampled_from([*option["choices"], "?"])
    kind = option.get("type", "str")
    if kind == "list" and option.get("elements") == "dict":
        return (
            st.lists(st.dictionaries(st.text(max_size=6) | st.just("id"), VALUES, max_size=4), max_size=3)
            | VALUES
        )
    if kind == "dict":
        keys = st.sampled_from(["database", "cache", "api", "proxy", "url", "rate", "name"]) | st.text(
            max_size=4
        )
        return st.dictionaries(keys, VALUES | TEXTS, max_size=4) | VALUES
    return TYPED[kind] | VALUES


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    yield


def run_module(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a module with these arguments; returns what it answered. Whatever else it raises is the test's failure."""
    imported = importlib.import_module(f"ansible_collections.exchange.chaos.plugins.modules.{name}")
    given_to_it = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": False}})
    said, complained = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
        patch.setattr(basic, "_ANSIBLE_ARGS", given_to_it.encode())
        patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        try:
            imported.main()
        except SystemExit:
            pass
    assert "Traceback" not in complained.getvalue()
    return dict(json.loads(said.getvalue().splitlines()[-1]))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_arguments_of_any_value_are_taken_or_refused_in_a_sentence(name: str, data: Any) -> None:
    known = options_of(name)
    wanted = {option for option, about in known.items() if about.get("required")}
    wanted |= set(data.draw(st.lists(st.sampled_from(sorted(known)), max_size=5, unique=True)))
    with tempfile.TemporaryDirectory() as folder:
        arguments = {option: data.draw(values_of(known[option])) for option in sorted(wanted - PLACES)}
        answer = run_module(
            name, {**arguments, "state_dir": f"{folder}/state"} if "state_dir" in known else arguments
        )
        left = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert "Traceback" not in json.dumps(answer)
    if answer.get("failed"):
        assert str(answer["msg"]).strip()
        assert len(str(answer["msg"])) < 2500
        assert left == [], "a refusal leaves nothing"
    json.dumps(answer).encode()
    assert os.getcwd()
