# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five questions that end every report, answered from the records of all hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .words import clean, quantity

Host = dict[str, Any]
_WORST_SEEN = ("errors", "slowness", "unknown", "nothing")
_SAW = {
    "errors": "errors",
    "slowness": "only slowness",
    "unknown": "? not measured",
    "nothing": "neither",
}


def answers(hosts: Sequence[Host]) -> list[tuple[str, str]]:
    """Return the five questions with their answers; with several hosts, the worst with the hosts it is true of."""
    return [
        ("Did it recover by itself?", _recovered(hosts)),
        ("How long did it take?", _duration(hosts)),
        ("Was an acknowledged order lost?", _loss(hosts)),
        ("Errors, or only slowness?", _seen(hosts)),
        ("Were the errors clear?", _clarity(hosts)),
    ]


def _names(hosts: Sequence[Host], among: Sequence[Host]) -> str:
    """Return `` on a, b`` where that is news: only with several hosts, and not if it is all of them."""
    if len(among) < 2 or len(hosts) == len(among):
        return ""
    return f" on {', '.join(clean(host['host']) for host in hosts)}"


def _split(hosts: Sequence[Host], answer: Callable[[Host], Any]) -> tuple[list[Host], list[Host]]:
    """Return the hosts that have an answer and those that have none."""
    known = [host for host in hosts if answer(host) is not None]
    return known, [host for host in hosts if answer(host) is None]


def _open(unknown: Sequence[Host], hosts: Sequence[Host]) -> str:
    return f"; ? not measured{_names(unknown, hosts)}" if unknown else ""


def _recovered(hosts: Sequence[Host]) -> str:
    def answer(host: Host) -> bool | None:
        value: bool | None = host["questions"]["recovered_automatically"]
        return value

    known, unknown = _split(hosts, answer)
    if not known:
        return "? not measured"
    failed = [host for host in known if not answer(host)]
    return f"{f'no{_names(failed, hosts)}' if failed else 'yes'}{_open(unknown, hosts)}"


def _duration(hosts: Sequence[Host]) -> str:
    known, unknown = _split(hosts, lambda host: host["questions"]["recovery_s"])
    if not known:
        return "? not measured"
    worst = max(known, key=lambda host: float(host["questions"]["recovery_s"]))
    at_most = "at most " if len(known) > 1 else ""
    return f"{at_most}{quantity(worst['questions']['recovery_s'], 's')}{_names([worst], hosts)}{_open(unknown, hosts)}"


def _loss(hosts: Sequence[Host]) -> str:
    known, unknown = _split(hosts, lambda host: host["questions"]["data_loss"])
    if not known:
        return "? not measured"
    lost = [host for host in known if host["questions"]["data_loss"]]
    count = sum(host["questions"]["data_loss"] for host in known)
    of = sum(host["ledger"]["acknowledged"] or 0 for host in known)
    shortest = [host["ledger"]["shortest_visible_loss_ms"] for host in known]
    blind = [] if None in shortest else [max(shortest)]
    visible = "".join(f"; {quantity(value, 'ms')} of loss would have shown" for value in blind)
    where = _names(lost, hosts) if lost else ""
    return f"{'yes' if count else 'no'}, {count} of {of}{where}{visible}{_open(unknown, hosts)}"


def _seen(hosts: Sequence[Host]) -> str:
    seen = [host["questions"]["users_saw"] for host in hosts]
    what = min((each["what"] for each in seen), key=_WORST_SEEN.index)
    if what == "unknown":
        return _SAW[what]
    requests = sum(host["load"]["requests"] for host in hosts)
    errors, slow = (sum(each[key] for each in seen) for key in ("errors", "slow"))
    times = []
    for key, name in (("p50_ms", "p50"), ("p99_ms", "p99"), ("baseline_p99_ms", "p99 before")):
        values = [each[key] for each in seen if each[key] is not None]
        times += [f"{name} {quantity(max(values))}"] if values else []
    if times:
        times[-1] += " ms"
    unknown = [host for host in hosts if host["questions"]["users_saw"]["what"] == "unknown"]
    counts = f"{_SAW[what]}: {errors} failed, {slow} slow of {requests}"
    return f"{'; '.join(filter(None, (counts, ', '.join(times))))}{_open(unknown, hosts)}"


def _clarity(hosts: Sequence[Host]) -> str:
    known, unknown = _split(hosts, lambda host: host["questions"]["errors_clear"]["clear"])
    if not known:
        return "? not measured"
    found = [host["questions"]["errors_clear"] for host in known]
    vague = [host for host in known if not host["questions"]["errors_clear"]["clear"]]
    clear, unclear = (sum(each[key] for each in found) for key in ("clear_count", "unclear_count"))
    parts = [
        f"{'no' if vague else 'yes'}{_names(vague, hosts) if vague else ''}: {clear} clear, {unclear} unclear"
    ]
    delays = [each["first_log_after_s"] for each in found if each["first_log_after_s"] is not None]
    if delays:
        parts.append(f"named in the log after {quantity(max(delays), 's')}")
    return f"{', '.join(parts)}{_open(unknown, hosts)}"
