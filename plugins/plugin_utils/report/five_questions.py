# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The five questions that end every report, answered from the records of all hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...module_utils.common.shapes import Recorded
from ..words import escape_line, format_quantity
from .hosts_overview import say_where

Host = dict[str, Any]
_WORST_SEEN = ("errors", "slowness", "unknown", "nothing")
_SAW = {
    "errors": "errors",
    "slowness": "only slowness",
    "unknown": "? not measured",
    "nothing": "neither",
}


def answer_questions(hosts: Sequence[Host]) -> list[tuple[str, str]]:
    """Return the five questions with their answers; of several hosts that of the worst, which is named.

    Where all are good, counts are those of all hosts together, and times those of the slowest.
    """
    return [
        ("Did it recover by itself?", _recovered(hosts)),
        ("How long did it take?", _duration(hosts)),
        ("Was an acknowledged order lost?", _loss(hosts)),
        ("Errors, or only slowness?", _seen(hosts)),
        ("Were the errors clear?", _clarity(hosts)),
    ]


def _split(hosts: Sequence[Host], answer: Callable[[Host], Any]) -> tuple[list[Host], list[Host]]:
    """Return the hosts that have an answer and those that have none."""
    known = [host for host in hosts if answer(host) is not None]
    return known, [host for host in hosts if answer(host) is None]


def _open(unknown: Sequence[Host], hosts: Sequence[Host]) -> str:
    return f"; ? not measured{say_where(unknown, hosts)}" if unknown else ""


def _worst(bad: Sequence[Host], hosts: Sequence[Host], size: Callable[[Host], float]) -> tuple[Host, str]:
    """Return the worst of some bad hosts, and its name with how many others are bad, too; no name for one host."""
    host = max(bad, key=size)
    if len(hosts) == 1:
        return host, ""
    others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return host, f" on {escape_line(host['host'])}{others}"


def _recovered(hosts: Sequence[Host]) -> str:
    known, unknown = _split(hosts, lambda host: host["questions"]["recovered_automatically"])
    if not known:
        return "? not measured"
    failed = [host for host in known if not host["questions"]["recovered_automatically"]]
    return f"{f'no{say_where(failed, hosts)}' if failed else 'yes'}{_open(unknown, hosts)}"


def _duration(hosts: Sequence[Host]) -> str:
    known, unknown = _split(hosts, lambda host: host["questions"]["recovery_s"])
    if not known:
        return "? not measured"
    worst = max(known, key=lambda host: float(host["questions"]["recovery_s"]))
    at_most = "at most " if len(known) > 1 else ""
    took = format_quantity(worst["questions"]["recovery_s"], "s")
    return f"{at_most}{took}{say_where([worst], hosts)}{_open(unknown, hosts)}"


def _loss(hosts: Sequence[Host]) -> str:
    known, unknown = _split(hosts, lambda host: host["questions"]["data_loss"])
    if not known:
        return _blind_loss(hosts)
    lost = [host for host in known if host["questions"]["data_loss"]]
    told, where = known, ""
    if lost:
        worst, where = _worst(lost, hosts, lambda host: float(host["questions"]["data_loss"]))
        told = [worst]
    count = sum(host["questions"]["data_loss"] for host in told)
    of = sum(host["ledger"]["acknowledged"] or 0 for host in told)
    shortest = [host["ledger"]["shortest_visible_loss_ms"] for host in known]
    blind = [] if None in shortest else [max(shortest)]
    visible = "".join(f"; {format_quantity(value, 'ms')} of loss would have shown" for value in blind)
    return f"{'yes' if lost else 'no'}, {count} of {of}{where}{visible}{_open(unknown, hosts)}"


def _blind_loss(hosts: Sequence[Host]) -> str:
    """Say what was counted where nothing would have shown, and how long a loss would have been seen."""
    counted = [host["ledger"] for host in hosts if host["ledger"]["lost"] == 0]
    shortest = [ledger["shortest_visible_loss_ms"] for ledger in counted]
    if not counted or None in shortest:
        return "? not measured"
    of = sum(ledger["acknowledged"] or 0 for ledger in counted)
    return f"? 0 of {of}; a loss under {format_quantity(max(shortest), 'ms')} would not have shown"


def _seen(hosts: Sequence[Host]) -> str:
    def saw(host: Host) -> Recorded:
        seen: dict[str, Any] = host["questions"]["users_saw"]
        return seen

    what = min((str(saw(host)["what"]) for host in hosts), key=_WORST_SEEN.index)
    if what == "unknown":
        return _SAW[what]
    unknown = [host for host in hosts if saw(host)["what"] == "unknown"]
    told, where = [host for host in hosts if host not in unknown], ""
    if what != "nothing":
        same = [host for host in told if saw(host)["what"] == what]
        worst, where = _worst(same, hosts, lambda host: float(saw(host)["errors"] or saw(host)["slow"]))
        told = [worst]
    # an older record counts the orders of all streams, and has no number of its own
    requests = sum(saw(host).get("orders", host["load"]["requests"]) for host in told)
    errors, slow = (sum(saw(host)[key] for host in told) for key in ("errors", "slow"))
    times = []
    for key, name in (("p50_ms", "p50"), ("p99_ms", "p99"), ("baseline_p99_ms", "p99 before")):
        values = [saw(host)[key] for host in told if saw(host)[key] is not None]
        times += [f"{name} {format_quantity(max(values))}"] if values else []
    if times:
        times[-1] += " ms"
    counts = f"{_SAW[what]}{where}: {errors} failed, {slow} slow of {requests}"
    return f"{'; '.join(filter(None, (counts, ', '.join(times))))}{_open(unknown, hosts)}"


def _clarity(hosts: Sequence[Host]) -> str:
    def found(host: Host) -> Recorded:
        errors: dict[str, Any] = host["questions"]["errors_clear"]
        return errors

    known, unknown = _split(hosts, lambda host: found(host)["clear"])
    if not known:
        return "? not measured"
    vague = [host for host in known if not found(host)["clear"]]
    told, where = known, ""
    if vague:
        worst, where = _worst(vague, hosts, lambda host: float(found(host)["unclear_count"]))
        told = [worst]
    clear, unclear = (sum(found(host)[key] for host in told) for key in ("clear_count", "unclear_count"))
    parts = [f"{'no' if vague else 'yes'}{where}: {clear} clear, {unclear} unclear"]
    delays = [
        found(host)["first_log_after_s"] for host in told if found(host)["first_log_after_s"] is not None
    ]
    if delays:
        parts.append(f"named in the log after {format_quantity(max(delays), 's')}")
    return f"{', '.join(parts)}{_open(unknown, hosts)}"
