# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run: one HTML file that needs nothing beside it, from the record and the raw samples."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ....module_utils.common.shapes import Recorded, is_number
from ...record.clocks import align_clocks
from ...record.folder import find_earlier
from ...record.missing_host import is_stub
from ...record.report_files import existing_paths
from ...record.samples import Link, Samples, read_samples
from ...words import (
    clock_time,
    format_number,
    format_quantity,
    format_scalar,
    format_stamp,
    format_threshold,
    seconds_between,
    truth_mark,
)
from .. import ending, hosts_overview
from ..finding_lines import VERDICTS, number_findings, render_findings
from ..five_questions import answer_questions
from ..follow_up.advice import give_advice
from ..follow_up.signals import first_signals
from ..history.comparison import SAME
from ..history.earlier import set_beside, sum_up
from .answers import pick_worst_view, tell_cleanliness, tell_faults, tell_first_sign, tell_warning
from .distributions import count_distributions, draw_distribution
from .fleet import draw_spread
from .service_map import describe_link, draw_service_map
from .timeline import draw_timeline, span_of
from .words import bound_texts, harmless_text, mark, plain_marks

Record = dict[str, Any]
Host = Mapping[str, Any]

_FILES = Path(__file__).resolve().parents[4] / "files" / "page"
#: Dots of good requests on a whole page; a host has its share of them, but never fewer than the least.
DOTS, FEWEST = 8000, 400
#: On a page of more hosts than this, those that passed have no histograms and no map: they would say the same often.
IN_FULL = 12
#: Of more hosts than this a finding that reads alike is one line; each host has its own further down.
APART = 4
#: So many findings are set beside those of earlier runs; of several hosts only what changed.
MOST_BESIDE = 40
#: Names of raw samples in the words of a finding's evidence, and the lane of the timeline that shows them.
_RAW = re.compile(r"\b(load|probes|bpf|engine|histograms|journal|timeline|ledger|run)\.jsonl?\b")
_LANES = {"load": "latency", "probes": "probes", "bpf": "kernel", "engine": "containers"}
#: The ledger and what was compared travel in one file with the specification.
_INSIDE = {"ledger": "run"}


def render_page(record: Record, source: str) -> str:
    """Return the page of a record. ``source`` is the stem beside which its raw samples lie."""
    record = bound_texts(align_clocks(record))
    hosts = [_host(record, index, source) for index in range(len(record["hosts"]))]
    before = find_earlier(record, os.path.dirname(source) or ".")
    earlier = [bound_texts(each) for _path, each in before]
    beside = set_beside(record, earlier)
    reasons = {key: plain_marks(text) for key, text in ending.explain_verdicts(record).items()}
    view = {
        "record": record,
        "several": len(record["hosts"]) > 1,
        "title": f"{record['experiment']['number']:02d} {record['experiment']['title']}: {record['outcome']}",
        "findings": _findings(record) if len(record["hosts"]) <= APART else [],
        "lines": render_findings(record) if len(record["hosts"]) > APART else [],
        "questions": answer_questions(record["hosts"]),
        "further": _further(record, hosts, reasons["restored"], sum_up(record, earlier, beside)),
        "reasons": reasons,
        "beside": [one for one in beside if one.verdict != SAME or len(hosts) == 1][:MOST_BESIDE],
        "before": [(each, _link_page(path)) for (path, _record), each in zip(before, earlier)],
        "outcome_lines": ending.outcome_lines(record),
        "hosts": hosts,
        "advice": _advice(hosts),
        "overview": hosts_overview.rank_hosts(record["hosts"]),
        "why": hosts_overview.explain_host,
        "spreads": list(_spreads(record)),
        "again": command_again(record),
        "links": _links(source),
        "seconds": seconds_between(record["started_at"], record["ended_at"]),
    }
    return render_template("page.html.j2", view)


def render_template(template: str, view: Mapping[str, Any]) -> str:
    """Return a template of files/page with what it shows; every text in it is cleaned, cut and escaped."""
    style, script = (Markup((_FILES / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return make_environment().get_template(template).render(**view, style=style, script=script, policy=policy)


@lru_cache(maxsize=1)
def make_environment() -> Environment:
    """Return the templates' environment: all that is set into a page is escaped, after it was made harmless."""
    made = Environment(
        loader=FileSystemLoader(_FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=lambda value: value if isinstance(value, Markup) else harmless_text(value),
    )  # fmt: skip
    made.filters.update(
        mark=mark,
        truth=lambda holds: plain_marks(truth_mark(holds)),
        clock=clock_time,
        stamp=format_stamp,
        scalar=format_scalar,
        number=format_number,
        words=describe_link,
    )
    made.globals.update(
        told=lambda value: _told(value, None),
        quantity=format_quantity,
        threshold=format_threshold,
        seconds_between=seconds_between,
    )
    return made


def _digest(text: str) -> str:
    """Return the digest by which a policy allows one script or style and no other. Source: CSP level 3, 2.3.1."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


# -- findings and their evidence --------------------------------------------------------------------------------


def _findings(record: Record) -> list[Recorded]:
    """Return the rows of the key findings, the bad ones first."""
    places = {harmless_text(host["host"]): index for index, host in enumerate(record["hosts"])}
    rows = []
    for index, name, finding in number_findings(record):
        limit, unit = finding["threshold"], finding["unit"]
        place = places.get(harmless_text(name), 0) if name else 0
        rows.append(
            {
                "number": index,
                "host": name,
                "verdict": finding["verdict"],
                "title": finding["title"],
                "anchor": f"h{place + 1}-f-{index}",
                "value": format_quantity(finding["value"], unit, limit["value"] if limit else None),
                "threshold": format_threshold(limit, unit).strip("()"),
                "control": _told(finding.get("control"), unit),
                "interval": _told(_interval(finding), unit),
            }
        )
    return sorted(rows, key=lambda row: VERDICTS.index(row["verdict"]))


def _interval(finding: Host) -> object:
    """Return the interval that a value is known to lie in, None where the value says it already."""
    interval = finding.get("interval")
    return None if interval == finding["value"] else interval


def _told(value: object, unit: str | None) -> str:
    """Return a value of a later version of the record in words, "" where there is none."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        if "value" in value:
            return _told(value["value"], str(value["unit"]) if value.get("unit") else unit)
        told = {key: _told(each, None) for key, each in value.items()}
        return ", ".join(f"{key} {text}" for key, text in told.items() if text)
    if isinstance(value, (list, tuple)) and not (value and all(is_number(each) for each in value)):
        return ", ".join(_told(each, unit) for each in value)
    return format_quantity(value, unit)


def link_evidence(text: object, name: str, samples: Samples) -> Markup:
    """Return evidence as HTML: the names of raw samples lead to the file and to the lane that shows them."""
    out, done = Markup(), 0
    words_ = harmless_text(text)
    for match in _RAW.finditer(words_):
        path = samples.files.get(_INSIDE.get(match[1], match[1]))
        out += Markup.escape(words_[done : match.start()])
        out += _link(os.path.basename(path), match[0]) if path else Markup.escape(match[0])
        if path and match[1] in _LANES:
            out += Markup(' (<a href="#{}-{}">shown</a>)').format(name, _LANES[match[1]])
        done = match.end()
    return out + Markup.escape(words_[done:])


def _link(file: str, text: object) -> Markup:
    return Markup('<a href="{}">{}</a>').format(f"./{quote(file)}", harmless_text(text))


def _link_page(record: str) -> Markup:
    """Return a link to the page beside an earlier record, or to the record where it has none."""
    page = f"{record[: -len('.json')]}.html"
    return (
        _link(os.path.basename(page), "page")
        if os.path.isfile(page)
        else _link(os.path.basename(record), "record")
    )


def _links(source: str) -> list[Markup]:
    return [
        _link(os.path.basename(path), name)
        for kind, name in ending.FILES
        if kind != "html" and (path := existing_paths(source).get(kind))
    ]


# -- hosts ------------------------------------------------------------------------------------------------------


def _host(record: Record, index: int, source: str) -> Recorded:
    """Return what a page shows of one host; its samples are let go before the next one is read."""
    host, name = record["hosts"][index], f"h{index + 1}"
    hosts = len(record["hosts"])
    samples = read_samples(source, host["host"], span_of(host, record["started_at"], record["ended_at"]))
    full = hosts <= IN_FULL or host["outcome"] != "passed"
    drawn, more = count_distributions(host, samples) if full else ([], 0)
    blank = is_stub(host)
    return {
        "name": name,
        "host": host,
        "blank": blank,
        "full": full,
        "timeline": None if blank else draw_timeline(host, samples, name, max(DOTS // hosts, FEWEST), full),
        "requests": samples.requests,
        "distributions": [(draw_distribution(one), one) for one in drawn if one.total],
        "more_distributions": more,
        "map": _map(host, samples) if full and samples.links else None,
        "service_links": sorted(samples.links.items(), key=lambda each: -_weight(each[1])) if full else [],
        "advice": give_advice(host),
        "signals": first_signals(host, samples),
        "spec": samples.spec,
        "evidence": [
            (number_, finding, link_evidence(finding["evidence"], name, samples))
            for number_, finding in _numbers(record, host)
        ],
        "missing": samples.missing,
        "files": {
            raw: _link(os.path.basename(path), os.path.basename(path)) for raw, path in samples.files.items()
        },
        "placebo": _told(host.get("placebo"), None),
        "open_questions": [_told(each, None) for each in host.get("open_questions") or []],
    }


def _further(
    record: Record, hosts: Sequence[Recorded], restored: str, worse: str
) -> list[tuple[str, list[str], str]]:
    """Return what else a stranger asks, with the lines of the answer and the part of the page that shows more."""
    several = len(hosts) > 1
    view = pick_worst_view(hosts)
    host, signals, name = view["host"], view["signals"], view["name"]
    moved = f"{name}-signals" if signals else name
    return [
        ("What broke, and when?", tell_faults(record["hosts"]), f"{name}-faults" if host["faults"] else name),
        ("Who noticed first?", tell_first_sign(host, signals, view["missing"], several), moved),
        (
            "Is the host as it was?",
            [tell_cleanliness(record["verdicts"]["restored"], restored)],
            name if view["blank"] else f"{name}-restored",
        ),
        ("How to be warned next time?", tell_warning(host, signals, view["missing"], view["spec"]), moved),
        ("Is it worse than before?", [worse], "earlier"),
    ]


def _advice(hosts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what to change, each change once: as the first host says it, with the names of all that call for it."""
    found: dict[str, dict[str, Any]] = {}
    for view in hosts:
        for one in view["advice"]:
            anchor = f"{view['name']}-f-{view['evidence'][one.place][0]}"
            first = found.setdefault(one.rule, {"advice": one, "anchor": anchor, "hosts": []})
            first["hosts"].append(view["host"])
    for each in found.values():
        each["where"] = hosts_overview.name_hosts(each["hosts"])
    return sorted(found.values(), key=lambda each: int(each["advice"].weight))


def _weight(link: Link) -> int:
    return link.made + link.refused


def _map(host: Host, samples: Samples) -> Markup:
    targets = {part for fault in host["faults"] for part in re.split(r"[\s,]+", str(fault["target"]))}
    return draw_service_map(samples.links, targets)


def _numbers(record: Record, host: Host) -> list[tuple[int, Host]]:
    """Return the findings of a host with their numbers of the key findings."""
    order = {id(finding): index for index, _name, finding in number_findings(record)}
    return [(order[id(finding)], finding) for finding in host["findings"]]


def _spreads(record: Record) -> Iterator[Markup]:
    hosts: Sequence[Host] = record["hosts"]
    for fault in dict.fromkeys(fault["id"] for host in hosts for fault in host["faults"]):
        drawn = draw_spread(hosts, fault)
        if drawn is not None:
            yield drawn


def command_again(record: Record) -> str:
    """Return the command that runs this experiment again on the same hosts."""
    names = [str(host["host"]) for host in record["hosts"]]
    local = names == ["localhost"]
    parts = ["ansible-playbook", *([] if local else ["-i YOUR_INVENTORY"])]
    parts.append(f"exchange.chaos.{record['experiment']['name']}")
    parts += [] if local else [f"--limit {','.join(names)}"]
    return " ".join(parts)
