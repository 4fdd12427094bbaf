"""What the documentation points to is there: files, playbooks, variables."""

from __future__ import annotations

import importlib
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from ansible.parsing.splitter import parse_kv

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("roles/*/README.md"),
        ROOT / "tests/README.md",
    ]
)
#: Of no role's options: set by roles for others, read by playbooks, or a name in a module's result or example.
OTHERS = {
    "chaos_become", "chaos_record", "chaos_run_id", "chaos_fault", "chaos_fault_state", "chaos_host_record",
    "chaos_host_run", "chaos_ready_for", "chaos_outcomes", "chaos_tasks", "chaos_series",
    "chaos_outcome", "chaos_files", "chaos_may_skip", "chaos_head", "chaos_emit", "chaos_kind", "chaos_foreign",
    "chaos_offline", "chaos_before", "chaos_after",
}  # fmt: skip


def pages() -> list[str]:
    return [str(page.relative_to(ROOT)) for page in PAGES if page.name != "CHANGELOG.md"]


@cache
def variables() -> set[str]:
    """Return every variable that a role declares."""
    found: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= set(entry.get("options", {}))
    return found


def experiments() -> list[str]:
    """Return the experiments' roles, by their playbooks."""
    found = sorted((ROOT / "playbooks").glob("[0-9][0-9]-*.yml"))
    return [path.stem[3:].replace("-", "_") for path in found if not path.name.startswith("00-")]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link}"
        assert not anchor or anchor in anchors(target), f"{name}: {link}"


@pytest.mark.parametrize("name", pages())
def test_playbooks_and_folders_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for path in re.findall(
        r"(?<![\w/.])((?:playbooks|roles|docs|files|plugins|tools)/[\w./-]*\w/?)(?![\w<*])", text
    ):
        assert (ROOT / path).exists() or (ROOT / "docs" / path).exists(), f"{name}: {path}"


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return what a text names of tests, (path, test or ""); ``…/`` stands for the folder that was named last."""
    found, folder = [], ""
    for whole in re.findall(r"`((?:tests|…)/[^`\s:*<]+(?:::test_\w+)?)", text):
        path, _, test = whole.partition("::")
        path = path.replace("…", folder, 1)
        folder = path.rpartition("/")[0] if path.endswith(".py") else folder
        found.append((path, test))
    return found


def missing_tests(text: str) -> list[str]:
    """Return the tests that a text names and that are not there."""
    return [
        f"{path}::{test}" if test else path
        for path, test in named_tests(text)
        if not (ROOT / path).exists() or (test and f"def {test}(" not in (ROOT / path).read_text())
    ]


@pytest.mark.parametrize("name", pages())
def test_tests_that_are_named_exist(name: str) -> None:
    assert missing_tests((ROOT / name).read_text()) == []


def test_a_test_that_is_not_there_is_found() -> None:
    here = "tests/unit/behaviour/test_documentation.py"
    there = "`…/test_names.py`, `…/test_nothing.py`"
    said = f"`{here}::test_links_lead_somewhere`, {there}, `{here}::test_no`, `tests/moon/`"
    assert missing_tests(said) == ["tests/unit/behaviour/test_nothing.py", f"{here}::test_no", "tests/moon/"]


def promises() -> list[list[str]]:
    """Return the rows of what docs/security.md says to hold: the promise, where it is kept, what shows it."""
    section = (ROOT / "docs/security.md").read_text().partition("## What holds")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:40])
def test_a_promise_of_safety_is_kept_somewhere_and_shown_by_a_test(row: list[str]) -> None:
    _promise, where, shown = row
    rooms = [ROOT / "plugins" / room for room in ("module_utils", "plugin_utils", "")]
    for path in re.findall(r"`([\w/]+\.py)`", where):
        assert any((room / path).exists() or (ROOT / path).exists() for room in rooms), path
    assert "everywhere" in where or "`" in where
    assert named_tests(shown) or "gates" in shown
    for file, count in re.findall(r"`(tests/[\w/]+\.py)`: (\d+) hostile", shown):
        cases = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        assert len(getattr(cases, "MALICE", None) or cases.HOSTILE) == int(count), file


@pytest.mark.parametrize("name", pages())
def test_variables_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    known = variables() | OTHERS
    named = set(re.findall(rf"\b(?:{'|'.join(['chaos', *experiments()])})_[a-z_]*[a-z](?![\w*])", text))
    assert named <= known, f"{name}: {sorted(named - known)}"


@pytest.mark.parametrize("name", pages())
def test_extra_variables_arrive_as_they_are_written(name: str) -> None:
    """The shell takes one pair of quotes away; without another one Ansible ends a value at its first space."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in re.findall(r"^(?:\$ +| {4})(ansible-playbook .*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)
        for given in (value for option, value in zip(words, words[1:]) if option == "-e"):
            if not given.startswith(("@", "{", "[")):
                assert "_raw_params" not in parse_kv(given), f"{name}: {line}"


def test_the_table_names_the_experiments_there_are() -> None:
    rows = re.findall(r"^\| (\d\d) \| \[(\w+)\]", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [name for _, name in rows] == experiments()


def test_every_experiment_says_whether_it_needs_root() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(re.findall(r"Root Required: (?:Yes|No)", text)) == len(experiments())
