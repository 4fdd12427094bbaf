# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values for role variables that somebody could give: of the wrong type, look-alikes, beyond all bounds, templates."""

from __future__ import annotations

import copy
import functools
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

ROLES = Path(__file__).resolve().parents[3] / "roles"
EXPERIMENTS = sorted(
    path.parents[1].name
    for path in ROLES.glob("*/vars/main.yml")
    if path.parents[1].name not in ("chaos", "lab", "host")
)
#: What says where a run works stays in the test's own folders; what the playbook itself sets is not the user's.
PLACES = {
    "chaos_report_dir", "chaos_state_dir", "chaos_metrics_file", "chaos_otel_endpoint", "chaos_experiment", "chaos_run",
    "chaos_experiment_role", "chaos_needs", "chaos_programs", "chaos_faults", "chaos_findings", "chaos_probes",
    "chaos_gauges", "chaos_repeat", "chaos_targets",
}  # fmt: skip
LOOK_ALIKES = [
    "yes",
    "no",
    "true",
    "0x10",
    "1e400",
    "nan",
    "inf",
    "-5",
    "10",
    "0",
    "1_000",
    "٣",
    "10.0.0.1/33",
    "a=1",
]
TEMPLATES = [
    "{{ nothing }}",
    "{{ 5 / 0 }}",
    "{{ '\\ud800' }}",
    "{{ [1, 2] }}",
    "{{ 'x' | no_such_filter }}",
    "{{ ",
    "{% if %}",
]
SCALARS: list[Any] = [
    None, True, False, 0, -1, 5, 1.5, 10**400, -(10**400), float("nan"), float("inf"), "", " ", "x", "a b", "nul\0",
    "\x1b[2J", "\u202e", "9" * 400, "9" * 20_000, "/etc/passwd", "../x", *LOOK_ALIKES, *TEMPLATES,
]  # fmt: skip
NESTED: list[Any] = [
    [],
    [5],
    [None],
    ["a", "b"],
    [[1]],
    [{"a": 1}],
    {},
    {"a": 1},
    {"": None},
    {"x": {"y": [1]}},
]
ANY = st.sampled_from([*SCALARS, *NESTED])


@functools.cache
def options_of(role: str) -> dict[str, dict[str, Any]]:
    """The variables that a role documents."""
    data = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
    return dict(data["argument_specs"]["main"]["options"])


def variables_of(experiment: str) -> dict[str, dict[str, Any]]:
    """The variables that somebody may set for an experiment."""
    known = {**options_of("chaos"), **options_of(experiment)}
    return {name: option for name, option in known.items() if name not in PLACES}


@st.composite
def wrong_variables(draw: st.DrawFn, experiment: str) -> tuple[str, Any]:
    """One variable and a value for it, which may be good; of named values mostly one of them alone is odd."""
    known = variables_of(experiment)
    name = draw(st.sampled_from(sorted(known)))
    inner = known[name].get("options") or {}
    if not inner or draw(st.integers(0, 3)) == 0:
        return name, draw(ANY)
    value = copy.deepcopy(known[name].get("default")) or {}
    key = draw(st.sampled_from([*sorted(inner), "zz"]))
    below = inner.get(key, {}).get("options")
    value[key] = (
        {draw(st.sampled_from(sorted(below))): draw(ANY)} if below and draw(st.booleans()) else draw(ANY)
    )
    return name, value


#: Words of Python's, Jinja's and Ansible's own that tell nobody what to do.
FOREIGN = re.compile(
    r"Traceback|' object|object at 0x|is not iterable|Unexpected templating|conditional check|has no attribute|"
    r"Task failed|Unexpected failure|Exception|unhandled|NoneType|TypeError|KeyError|dictionary requested|"
    r"must be of type dict or list|not subscriptable|too large to convert|expected str"
)


def failures_of(screen: str) -> list[str]:
    """The sentences on a screen that say what went wrong, without those on how the run ended."""
    said = [line.split("] ", 1)[-1] for line in screen.splitlines() if "✗ " in line]
    return [line for line in said if " ended" not in line and " 🚨" not in line]


def check_screen(code: int, screen: str, variable: str) -> bool:
    """Whether a run was taken, up to the host's missing engine. It is told in one sentence with its variable else."""
    assert not FOREIGN.search(screen), screen
    if code == 0 and "No Docker engine answers" in screen:
        return True
    said = failures_of(screen)
    assert len(said) == 1, screen
    # with the engine away, what is looked for on the host is not found, and that is the host's own sentence
    assert len(said[0]) < 1500
    assert variable in said[0] or names_part(said[0], variable), said[0]
    return False


def names_part(sentence: str, variable: str) -> bool:
    """Whether a sentence names the part of the specification that a variable fills (docs/your-own-exchange.md)."""
    parts = {
        "chaos_floor": "load.floor", "chaos_rate": "load.", "chaos_order_id": "load.order_id",
        "chaos_order_error": "load.error", "chaos_api_url": "load.url", "chaos_proxy_url": ").url",
        "chaos_order": "load.order", "chaos_order_side": "load.side", "chaos_order_price": "load.price",
        "chaos_order_accept": "load.accept", "chaos_order_cancel": "load.cancel", "chaos_readiness": "probes[",
        "chaos_health": "probes[", "chaos_services": ".service", "chaos_watch_rate": "load.",
        "chaos_burst_rate": "load.", "chaos_burst_s": "load.", "chaos_client_timeout_s": "load.",
    }  # fmt: skip
    return parts.get(variable, "\0") in sentence
