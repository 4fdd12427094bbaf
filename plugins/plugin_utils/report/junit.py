# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as JUnit XML: one suite per host, one case per verdict and finding."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from ..record.missing_host import is_stub
from ..words import escape_line, format_quantity, leftover_text, outcome_text, seconds_between
from .finding_lines import finding_text

Record = dict[str, Any]
_QUESTIONS = {
    "effect": "the fault took effect",
    "hypothesis": "the system held the hypothesis",
    "restored": "the host is restored",
}


def render_junit(record: Record) -> str:
    """Return the JUnit XML of a record. A verdict or finding that failed is a failure, one that is unknown is
    skipped; a host whose run is invalid or aborted carries an error, so that no CI takes it for green."""
    root = ET.Element("testsuites", {"name": f"exchange.chaos {_class(record)}"})
    for host in record["hosts"]:
        _suite(root, record, host)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", _time(record))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _class(record: Record) -> str:
    return escape_line(record["experiment"]["name"])


def _time(record: Record) -> str:
    return f"{seconds_between(record['started_at'], record['ended_at']) or 0:.3f}"


def _suite(root: ET.Element, record: Record, host: Mapping[str, Any]) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": f"{_class(record)} on {escape_line(host['host'])}",
            "hostname": escape_line(host["host"]),
            "timestamp": record["started_at"][:19],
            "time": _time(record),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("run_id", record["run_id"]),
        ("outcome", outcome_text(host)),
        ("wave", host["wave"]),
        ("collection_version", record["collection_version"]),
        ("kernel", host["kernel"]),
        ("bpf", host["bpf"]["status"]),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": escape_line(value)})
    name = f"{_class(record)}.{escape_line(host['host'])}"
    if host["outcome"] in ("invalid", "aborted"):
        case = ET.SubElement(suite, "testcase", {"classname": name, "name": "outcome", "time": "0"})
        told = "; ".join(escape_line(note) for note in host["notes"])
        ET.SubElement(
            case, "error", {"type": host["outcome"], "message": f"the run is {host['outcome']}"}
        ).text = told
    for key, meaning in _QUESTIONS.items():
        verdict = host["verdicts"][key]
        proof = [leftover_text(left) for left in host["leftovers"]] if key == "restored" else []
        if is_stub(host):  # it knows nothing but why
            proof = [escape_line(note) for note in host["notes"]]
        _case(suite, name, f"verdict: {key}", verdict, f"{meaning}: {verdict}", "\n".join(proof))
    for text in host.get("open_questions") or []:
        _case(suite, name, f"question: {escape_line(text)}", "unknown", escape_line(text), "")
    for finding in host["findings"]:
        text, value = finding_text(finding), format_quantity(finding["value"], finding["unit"])
        _case(
            suite,
            name,
            f"finding: {escape_line(finding['id'])}",
            finding["verdict"],
            text,
            escape_line(finding["evidence"]),
            value,
        )
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))


def _case(
    suite: ET.Element, classname: str, name: str, verdict: str, message: str, evidence: str, value: str = ""
) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": classname, "name": name, "time": "0"})
    if verdict == "fail":
        ET.SubElement(case, "failure", {"type": "fail", "message": message}).text = evidence
    elif verdict == "unknown":
        ET.SubElement(case, "skipped", {"message": f"{message}; {evidence}" if evidence else message})
    else:
        ET.SubElement(case, "system-out").text = "\n".join(filter(None, (message, value and evidence)))
