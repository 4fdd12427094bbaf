# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger asks of a run that failed is answered by its page alone, without a script.

The run is experiment 01 on the profile ``fragile``; a week before, the same experiment passed. Each answer is held
against the record, in the part of the page that docs/page.md names.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page.page import render_page

from tests.unit import recorded

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Parts(HTMLParser):
    """The text of a page by the heading above it, and of each answer by its question; scripts have no part in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self._open: list[str] = []
        self._part = ""
        self._question = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        self._open.append(tag)
        given = dict(attrs)
        if tag in ("h2", "h3") and given.get("id"):
            self._part = str(given["id"])
        if tag == "dt":
            self._question = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if {"script", "style"} & set(self._open):
            return
        self.text[self._part] = self.text.get(self._part, "") + data
        if "dt" in self._open:
            self._question += data
        elif "dd" in self._open and self._part == "questions":
            self.answers[self._question] = self.answers.get(self._question, "") + data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Parts]:
    """The record of the run that failed, and its page; last week's passed and lies beside it."""
    folder: Path = tmp_path_factory.mktemp("reports")
    last_week, _stem = recorded.report(1, folder, day=23)
    assert last_week["outcome"] == "passed"
    record, stem = recorded.report(1, folder, recorded.FRAGILE, day=30)
    assert record["outcome"] == "failed"
    assert last_week["started_at"] < record["started_at"]
    return record, Parts(render_page(record, stem))


def test_what_broke_and_when(run: tuple[dict[str, Any], Parts]) -> None:
    record, page = run
    faults = record["hosts"][0]["faults"]
    assert len(faults) == 2
    for fault in faults:
        for place in (page.answers["What broke, and when?"], page.text["h1-faults"]):
            assert f"{fault['id']}: {fault['kind']} of {fault['target']}" in place
            assert fault["injected_at"][11:23] in place
            assert fault["undone_at"][11:23] in place
        assert fault["injected_at"][:10] in page.answers["What broke, and when?"]


def test_who_noticed_first(run: tuple[dict[str, Any], Parts]) -> None:
    _record, page = run
    told = page.answers["Who noticed first?"]
    for fault in ("crash", "outage"):
        assert re.search(
            rf"{fault}: (the kernel|a probe|Docker), 0\.\d+ s after the injection, as .+; the first order failed",
            told,
        )
    first = re.search(r"as (.+?); the first", told)
    assert first
    assert page.text["h1-signals"].index(first[1]) < page.text["h1-signals"].index("an order failed")


def test_what_users_felt(run: tuple[dict[str, Any], Parts]) -> None:
    record, page = run
    seen = record["hosts"][0]["questions"]["users_saw"]
    assert seen["errors"] > 0
    assert (
        f"errors: {seen['errors']} failed, {seen['slow']} slow of {seen['orders']}"
        in page.answers["Errors, or only slowness?"]
    )


def test_what_was_lost(run: tuple[dict[str, Any], Parts]) -> None:
    record, page = run
    ledger = record["hosts"][0]["ledger"]
    assert ledger["lost"] > 0
    assert page.answers["Was an acknowledged order lost?"].startswith(
        f"yes, {ledger['lost']} of {ledger['acknowledged']}"
    )
    assert re.search(rf"Acknowledged and lost\s*{ledger['lost']}\b", page.text["h1-ledger"])


def test_whether_the_host_is_clean(run: tuple[dict[str, Any], Parts]) -> None:
    record, page = run
    assert record["verdicts"]["restored"] == "pass"
    assert page.answers["Is the host as it was?"].startswith("Yes: 0 differences")
    assert "Nothing: the host was compared" in page.text["h1-restored"]


def test_what_to_change_first(run: tuple[dict[str, Any], Parts]) -> None:
    record, page = run
    lost = record["hosts"][0]["ledger"]["lost"]
    first = page.text["change"].strip().splitlines()
    assert any(f"{lost} orders were acknowledged and lost" in line for line in first[:4])
    assert "synchronous_commit" in page.text["change"]


def test_how_to_be_warned_next_time(run: tuple[dict[str, Any], Parts]) -> None:
    _record, page = run
    told = page.answers["How to be warned next time?"]
    for fault in ("crash", "outage"):
        assert re.search(rf"{fault}: alert on '.+', .+, 0\.\d+ s before the first failed order", told)


def test_how_to_run_it_again(run: tuple[dict[str, Any], Parts]) -> None:
    _record, page = run
    assert "ansible-playbook exchange.chaos.database_sudden_death" in page.text["again"]


def test_whether_it_is_worse_than_last_week(run: tuple[dict[str, Any], Parts]) -> None:
    _record, page = run
    told = page.answers["Is it worse than before?"]
    assert told.startswith("Yes, by this run alone")
    assert "Acknowledged orders lost" in told
    assert "now failed, then passed" in told
    assert re.search(r"Acknowledged orders lost\s*\d+ orders\s*0 orders\s*1\s*worse", page.text["earlier"])


def test_earlier_runs_are_linked_to_what_is_there(tmp_path: Path) -> None:
    _record, before = recorded.report(1, tmp_path, day=23)
    record, stem = recorded.report(1, tmp_path, recorded.FRAGILE, day=30)
    name = Path(before).name
    assert f'href="./{name}.json">record</a>' in render_page(record, stem)
    Path(f"{before}.html").write_text("page")
    assert f'href="./{name}.html">page</a>' in render_page(record, stem)


def test_the_documentation_s_table_is_what_the_page_says(run: tuple[dict[str, Any], Parts]) -> None:
    _record, page = run
    docs = (Path(__file__).resolve().parents[3] / "docs" / "page.md").read_text()
    table = docs[docs.index("## Ten questions a stranger has") :]
    rows = re.findall(r"^\| (.+?\?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert len(rows) == 10
    text = " ".join(" ".join(page.text.values()).split())
    for _question, answer, _where in rows:
        for part in answer.split("; ") if answer.startswith(("crash", "2026")) else [answer]:
            assert part in text
