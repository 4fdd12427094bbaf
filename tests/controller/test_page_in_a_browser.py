# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of all ten experiments, a fleet, and runs that did not pass, opened by a browser as people open them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.plugin_utils.report.page import page_file
from ansible_collections.exchange.chaos.plugins.plugin_utils.words import parse_time

from tests.unit import fleets, recorded

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

OTHERS = ("fleet", "failed", "invalid", "skipped", "aborted")
NAMES = (*(f"{number:02d}" for number in recorded.NUMBERS), "fragile", *OTHERS)
#: One of each shape: a run that passed, one with advice, several hosts, one without phases.
SHAPES = ("01", "fragile", "fleet", "invalid")
#: Findings of these weights would keep somebody from reading the page.
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests."""
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Pages:
    """Record and page of each run, made when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, tuple[dict[str, Any], Path]] = {}

    def __getitem__(self, name: str) -> tuple[dict[str, Any], Path]:
        if name not in self._made:
            record, stem = self._recorded(name)
            page_file.write_page(record, stem, f"{stem}.html")
            self._made[name] = (record, Path(f"{stem}.html"))
        return self._made[name]

    def _recorded(self, name: str) -> tuple[dict[str, Any], str]:
        if name.isdigit():
            return recorded.report(int(name), self._folder)
        if name == "fragile":
            _ = self["01"]  # it lies beside it, and came before
            return recorded.report(1, self._folder, recorded.FRAGILE, day=30)
        hosts = [fleets.host(1), fleets.host(2, "failed"), fleets.host(3)]
        records = {"fleet": fleets.record(hosts), "aborted": fleets.record([fleets.unreachable(1)])}
        return (records[name] if name in records else fleets.sample(name), str(self._folder / name))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Record and page of each run."""
    return Pages(tmp_path_factory.mktemp("pages"))


def shapes_first(names: Sequence[str]) -> list[Any]:
    """The names as parameters: those that are no shape of their own in `make test-full` alone."""
    return [name if name in SHAPES else pytest.param(name, marks=pytest.mark.full) for name in names]


@pytest.fixture(params=shapes_first(NAMES))
def run(request: pytest.FixtureRequest, pages: Pages) -> tuple[dict[str, Any], Path]:
    """Each run in turn."""
    return pages[request.param]


def test_it_opens_without_an_error_and_asks_for_nothing(
    browser: Any, run: tuple[dict[str, Any], Path]
) -> None:
    record, path = run
    shown = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(path.as_uri())
    shown.mouse.move(400, 900)
    assert said == []
    assert [url for url in asked if url not in (path.as_uri(), "data:,")] == []
    assert shown.locator("#outcome").inner_text() == record["outcome"]
    for host in range(1, len(record["hosts"]) + 1):
        if record["hosts"][host - 1]["phases"]:
            box = shown.locator(f"#h{host}-timeline").bounding_box()
            assert box["width"] > 500
            assert box["height"] > 60
    shown.close()


def test_fault_bands_stand_at_their_recorded_times(browser: Any, run: tuple[dict[str, Any], Path]) -> None:
    record, path = run
    shown = browser.new_page(viewport={"width": 1300, "height": 900})
    shown.goto(path.as_uri())
    for number, host in enumerate(record["hosts"], 1):
        faults = [fault for fault in host["faults"] if fault["injected_at"]]
        bands = shown.locator(f"#h{number}-timeline [data-band=fault]")
        assert bands.count() == len(faults)
        if not faults:
            continue
        frame = shown.locator(f"#h{number}-timeline").evaluate(
            "svg => ({box: svg.getBoundingClientRect().toJSON(), units: svg.viewBox.baseVal.width, ...svg.dataset})"
        )
        scale = frame["box"]["width"] / frame["units"]
        start, length = float(frame["from"]), float(frame["to"]) - float(frame["from"])
        for index, fault in enumerate(faults):
            box = bands.nth(index).evaluate("band => band.getBoundingClientRect().toJSON()")
            for side, at in (("left", fault["injected_at"]), ("right", fault["undone_at"])):
                if at is None:
                    continue
                # a host of a fleet stands at the controller's time
                offset = (host["clock"]["offset_ms"] or 0) / 1000 if len(record["hosts"]) > 1 else 0
                share = (parse_time(at).timestamp() - offset - start) / length
                place = frame["box"]["left"] + scale * (float(frame["left"]) + share * float(frame["width"]))
                assert box[side] == pytest.approx(place, abs=1), (fault["id"], side)
    shown.close()


def test_without_scripts_it_says_the_same(browser: Any, run: tuple[dict[str, Any], Path]) -> None:
    _record, path = run
    texts = []
    for scripts in (True, False):
        context = browser.new_context(java_script_enabled=scripts)
        shown = context.new_page()
        shown.goto(path.as_uri())
        if scripts:
            shown.evaluate("document.querySelectorAll('button').forEach(each => each.remove())")
        texts.append(
            [line.strip() for line in shown.locator("main").inner_text().splitlines() if line.strip()]
        )
        context.close()
    assert texts[0] == texts[1]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.full)])
@pytest.mark.parametrize("name", shapes_first(["01", "09", "fragile", "fleet", "failed"]))
def test_everybody_can_read_it(browser: Any, pages: Pages, name: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # for axe's own script alone
    shown = context.new_page()
    shown.goto(pages[name][1].as_uri())
    found = axe.Axe().run(shown).response["violations"]
    context.close()
    told = [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in SERIOUS]
    assert told == []


@pytest.mark.parametrize("name", shapes_first(["01", "fragile", "fleet", "failed", "invalid"]))
def test_it_fits_a_phone(browser: Any, pages: Pages, name: str) -> None:
    shown = browser.new_page(viewport={"width": 390, "height": 800})
    shown.goto(pages[name][1].as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    shown.close()


def test_the_policy_stops_what_escaping_would_have_missed(browser: Any, pages: Pages, tmp_path: Path) -> None:
    html = pages["01"][1].read_text().replace("<main>", '<main><script>document.title = "taken"</script>')
    (tmp_path / "planted.html").write_text(html)
    shown = browser.new_page()
    shown.goto((tmp_path / "planted.html").as_uri())
    assert shown.title().startswith("01 Database sudden death")
    shown.close()
