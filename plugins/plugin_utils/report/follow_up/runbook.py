# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page to have at hand when it happens for real: symptoms as they were seen, what heals, and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...words import escape_line, format_number, format_quantity, seconds_between
from ..finding_lines import finding_text
from ..page.words import harmless_text
from .advice import give_advice
from .signals import AlertSignal

Record = Mapping[str, Any]
Host = Mapping[str, Any]
#: Signals of one fault on a runbook.
_SIGNALS = 6
_SAW = {
    "errors": "errors",
    "slowness": "slowness, no errors",
    "nothing": "nothing",
    "unknown": "not measured",
}


def render_runbook(record: Record, host: Host, signals: Sequence[AlertSignal]) -> str:
    """Return the runbook (Markdown) of the scenario that a host's run played."""
    experiment = record["experiment"]
    lines = [
        f"# Runbook: {_plain(experiment['title'])}",
        "",
        f"From run {_plain(record['run_id'])} on {_plain(host['host'])}, {record['started_at'][:19]}Z: "
        f"{record['outcome']}.",
        *("", "## How it looks", "", *_symptoms(host, signals)),
        *("", "## What heals by itself", "", *_healing(host)),
        *("", "## What to do where it does not", "", *_commands(host)),
        *("", "## Expected and not", "", *_expected(host)),
        *("", "## What would make it better", "", *_better(host)),
    ]
    return "\n".join(lines) + "\n"


def _symptoms(host: Host, signals: Sequence[AlertSignal]) -> Iterator[str]:
    seen, errors = host["questions"]["users_saw"], host["questions"]["errors_clear"]
    yield (
        f"- Users: {_SAW[seen['what']]}; {host['load']['errors']} of {host['load']['requests']} orders failed"
        + (
            f", half of all took {format_number(seen['p50_ms'])} ms or more."
            if seen["p50_ms"] is not None
            else "."
        )
    )
    if errors["example"] is not None:
        yield f"- An answer: `{_code(errors['example'])}`"
    if errors["first_log_line"] is not None:
        after = format_quantity(errors["first_log_after_s"], "s")
        yield f"- The application's log, after {after}: `{_code(errors['first_log_line'])}`"
    for fault in dict.fromkeys(signal.fault for signal in signals):
        for signal in [one for one in signals if one.fault == fault][:_SIGNALS]:
            yield f"- {_plain(fault)}, after {format_number(round(signal.after_s, 3))} s: {_plain(signal.words)}."


def _healing(host: Host) -> Iterator[str]:
    told = host["questions"]
    if told["recovered_automatically"]:
        yield f"- It recovered by itself in {format_quantity(told['recovery_s'], 's')}."
    elif told["recovered_automatically"] is None:
        yield "- Whether it recovers by itself was not measured."
    else:
        yield "- It did not recover by itself."
    for finding in host["findings"]:
        if finding["unit"] == "s" and finding["threshold"] and finding["value"] is not None:
            yield f"- {_plain(finding_text(finding))}."


def _commands(host: Host) -> Iterator[str]:
    for target in dict.fromkeys(str(fault["target"]) for fault in host["faults"]):
        for service in re.findall(r"[A-Za-z0-9][\w.-]*", target):
            those = f"docker ps --all --filter label=com.docker.compose.service={service}"
            yield f"- Is `{service}` running: `{those}`"
            yield f"- If it is not: `docker start $({those} --quiet)`"
    yield "- If an experiment may still be in force: `ansible-playbook -i YOUR_INVENTORY exchange.chaos.halt`"
    for fault in host["faults"]:
        length = seconds_between(fault["injected_at"], fault["undone_at"])
        if length is not None:
            by = _plain(fault["undone_by"] or "nobody we know of")
            yield f"- In this run {_plain(fault['id'])} was undone after {format_quantity(length, 's')} by {by}."


def _expected(host: Host) -> Iterator[str]:
    names = {"pass": "as expected", "fail": "**not expected**", "unknown": "not known"}
    for finding in host["findings"]:
        if finding["threshold"]:
            yield f"- {names[finding['verdict']]}: {_plain(finding_text(finding))}"


def _better(host: Host) -> Iterator[str]:
    found = give_advice(host)
    for advice in found:
        yield f"- {_plain(advice.sentence)} (finding: {_plain(advice.title)})"
    if not found:
        yield "- Nothing that this run measured calls for a change."


def _plain(text: object) -> str:
    """Return text that means nothing to Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", harmless_text(text)).replace("&", "&amp;")


def _code(text: object) -> str:
    """Return text for a span of code, which no backtick of its own ends."""
    return escape_line(harmless_text(text)).replace("`", "'")
