# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of modules that are all action: one list, in the documentation, and Ansible accepts it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.exchange.chaos.plugins.modules import collect, gate, report, targets
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.spread import LIMIT_MS
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import argument_spec

MODULES: list[Any] = [collect, gate, report, targets]


def test_what_an_argument_specification_has_is_read_and_nothing_else() -> None:
    found = argument_spec.read_arguments(gate.DOCUMENTATION)
    assert found["wave"] == {"type": "int", "required": True}
    assert found["problems"] == {"type": "list", "elements": "str", "default": []}
    found = argument_spec.read_arguments(report.DOCUMENTATION)
    assert found["state"] == {
        "type": "str", "choices": ["reserved", "written", "rendered"], "required": True,
    }  # fmt: skip
    assert found["experiment"]["options"]["number"] == {"type": "int", "required": True}
    assert found["spread_ms"]["default"] == LIMIT_MS


@pytest.mark.parametrize("module", MODULES)
def test_ansible_validates_by_it(module: Any) -> None:
    found = ArgumentSpecValidator(argument_spec.read_arguments(module.DOCUMENTATION)).validate(
        {"nonsense": 1}
    )
    assert any("nonsense" in message for message in found.error_messages)


def test_a_value_is_converted_and_a_missing_one_named() -> None:
    validator = ArgumentSpecValidator(argument_spec.read_arguments(gate.DOCUMENTATION))
    found = validator.validate({"wave": "1", "waves": [["a"]], "outcomes": "passed"})
    assert not found.error_messages
    assert found.validated_parameters["wave"] == 1
    assert found.validated_parameters["outcomes"] == ["passed"]
    assert (
        "missing required arguments: outcomes" in validator.validate({"wave": 1, "waves": []}).error_messages
    )
