# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house keeps its plan: who may import whom, how full a folder gets, and nothing is read that nobody writes.

Each rule is a function from the collection's code to sentences about what breaks it. Beside each, a violation is
planted in a copy of the code and has to be found.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.unit.source_tree import Field, Source, SourceTree, capitals, constants, spelled

ROOT = Path(__file__).resolve().parents[2]
#: A folder with more modules than these shows no plan any more.
MOST_MODULES = 16

LIBRARY = "common host run exchange discovery evidence snapshot faults observe judge lifecycle"
#: Who may import whom in plugins/module_utils: docs/architecture.md draws it.
MODULE_UTILS = {
    "entry": "",
    "common": "",
    "host": "common",
    "run": "common host",
    "exchange": "common host run",
    "discovery": "common host run exchange",
    "evidence": "common run exchange",
    "bpf": "common host run exchange",
    "snapshot": "common host run exchange",
    "faults": "common host run exchange",
    "observe": "common host run exchange evidence faults bpf",
    "judge": "common evidence exchange",
    "lifecycle": LIBRARY,
}
#: The same in plugins/plugin_utils, and what of module_utils it may use: nothing that acts on a host.
PLUGIN_UTILS = {
    "words": "",
    "fleet": "words",
    "transport": "words fleet",
    "discovery": "words",
    "record": "words",
    "report": "words record",
    "live": "words record report",
}
ON_THE_CONTROLLER = {"record": "common run evidence judge"}


def allowed() -> dict[str, frozenset[str]]:
    """Return for each room (the first two words of a module's name) the rooms that it may import."""
    rooms = {
        f"module_utils.{name}": {f"module_utils.{each}" for each in may.split()}
        for name, may in MODULE_UTILS.items()
    }
    for name, may in PLUGIN_UTILS.items():
        below = ON_THE_CONTROLLER.get(name, "common").split()
        rooms[f"plugin_utils.{name}"] = {
            *(f"plugin_utils.{each}" for each in may.split()),
            *(f"module_utils.{each}" for each in below),
        }
    # What Ansible calls is thin. A module runs on the host; an action knows modules for their documentation.
    above = {"plugin_utils", "module_utils.common"}
    rooms["modules"] = {f"module_utils.{each}" for each in LIBRARY.split()}
    rooms["action"] = {*above, "modules", "action"}
    for name in ("callback", "filter", "lookup"):
        rooms[name] = above
    rooms["doc_fragments"] = set()
    return {name: frozenset(may) for name, may in rooms.items()}


def room_of(module: str, known: Mapping[str, object]) -> str | None:
    """Return the room that a module lies in, None if it has none."""
    first, _, rest = module.partition(".")
    return next((each for each in (f"{first}.{rest.partition('.')[0]}", first) if each in known), None)


def forbidden_imports(code: SourceTree) -> list[str]:
    """The table above."""
    table = allowed()
    found = []
    for source in code.files:
        room = room_of(source.module, table)
        if room is None:
            if source.text or source.module not in ("module_utils", "plugin_utils"):
                found.append(
                    f"{source.at(1)}: {source.module} has no room in the table of tests/unit/test_layers.py"
                )
            continue
        for each in source.imports:
            if each.ours and not may_import(room, each.path, table[room]):
                found.append(f"{source.at(each.line)}: {room} may not import {each.path}")
    return found


def may_import(room: str, path: str, may: frozenset[str]) -> bool:
    """Return whether a room may import a path of ours."""
    return any(path == one or path.startswith(f"{one}.") for one in (room, *may)) and not (
        room == "modules" and path.startswith("modules.")
    )


def capture_reaches_bcc_alone(code: SourceTree) -> list[str]:
    """The capture runs under the system's Python, which may have bcc and nothing else."""
    known = {*sys.stdlib_module_names, "bcc"}
    return [
        f"{code.by_module[module].at(each.line)}: bpf.capture reaches {each.path}"
        for module, imports in code.closure("module_utils.bpf.capture").items()
        for each in imports
        if not each.ours and each.path.partition(".")[0] not in known
    ]


def snapshot_shares_nothing_with_faults(code: SourceTree) -> list[str]:
    """What says that a host is as it was has no code in common with what changed it."""
    acting = ("module_utils.faults", "module_utils.host.nftables", "module_utils.host.cgroups")
    found = []
    for start in (each.module for each in code.files if each.module.startswith("module_utils.snapshot.")):
        for module in code.closure(start):
            if any(module == one or module.startswith(f"{one}.") for one in acting):
                found.append(f"{start} reaches {module}")
    return found


def overfull_folders(code: SourceTree) -> list[str]:
    """A folder is seen at one look."""
    folders: dict[Path, int] = {}
    for source in code.files:
        if not source.package and source.module.startswith(("module_utils.", "plugin_utils.")):
            folders[source.path.parent] = folders.get(source.path.parent, 0) + 1
    return [
        f"{folder.relative_to(code.root)} holds {count} modules, more than {MOST_MODULES}"
        for folder, count in folders.items()
        if count > MOST_MODULES
    ]


def packages_that_say_something(code: SourceTree) -> list[str]:
    """Each folder with modules has an ``__init__.py``, which zipimport needs, and it is empty.

    One that re-exports would load pyroute2 and the Docker SDK into the capture.
    """
    found = []
    for base in ("module_utils", "plugin_utils"):
        top = code.root / "plugins" / base
        for folder in sorted({path.parent for path in top.rglob("*.py")} - {top}):
            package = folder / "__init__.py"
            if not package.exists():
                found.append(f"{folder.relative_to(code.root)} has no __init__.py")
            elif package.read_text():
                found.append(f"{package.relative_to(code.root)} is not empty")
            if package.exists() and len(list(folder.iterdir())) == 1:
                found.append(f"{folder.relative_to(code.root)} holds nothing")
    return found


def dead_words(code: SourceTree, key: str) -> list[str]:
    """Return what ``line[key]`` is compared with, though no line with it is ever written.

    A function that writes or compares what a caller gives it (``write_event(event)``, ``named(*names)``) is followed to
    its calls, whatever it is called. The names of the kernel's events, in capitals, come from the programs' decoders.
    """
    written = {word for source in code.files for _, word in words_of(code, source, code.written(source, key))}
    decoders = [source for source in code.files if source.module.startswith("module_utils.bpf.")]
    written |= {word for source in decoders for word in capitals(source.text)}
    return [
        f"{where}: {key} {word!r} is read and never written"
        for source in code.files
        for where, word in words_of(code, source, code.compared(source, key))
        if word not in written
    ]


def words_of(code: SourceTree, source: Source, fields: Iterable[Field]) -> Iterator[tuple[str, str]]:
    """Yield (place, word) of what a file writes or reads itself, and of what its functions do for others."""
    for field in fields:
        if field.parameter:
            yield from code.given(field)
        else:
            yield from ((source.at(field.line), word) for word in field.words)


#: Rooms that cannot know a fault, and speak of the kernel's own cpu, memory and partition.
BELOW_FAULTS = ("module_utils.host.", "module_utils.bpf.", "module_utils.snapshot.")
#: A kind's own files: its module, its action, its kind, and the mechanisms, each of which is some kind's.
KIND_FILES = ("modules.{}", "action.{}", "module_utils.faults.kinds.{}", "module_utils.faults.mechanisms.")
#: Where a word is another's: what it means there.
OTHER_MEANINGS = {
    ("module_utils.judge.restarts", "kill"): "an action of the engine",
    ("module_utils.observe.docker_events", "kill"): "an action of the engine",
    ("plugin_utils.report.page.lanes", "kill"): "an action of the engine",
    ("plugin_utils.report.details", "disk"): "a device that others use",
    ("plugin_utils.report.details", "memory"): "what others use",
    (
        "module_utils.judge.metrics.exchange.connections",
        "connections",
    ): "the metrics of connections, for all faults",
}


def kinds_spelled_elsewhere(code: SourceTree) -> list[str]:
    """Return where a kind of fault is named outside its own files, as a word or by an import.

    A kind declares what it is, and its folder is the registry: an eleventh is new files alone.
    """
    home = "module_utils.faults.kinds."
    kinds = {source.module.removeprefix(home) for source in code.files if source.module.startswith(home)}
    found = []
    for source in code.files:
        if source.module.startswith(BELOW_FAULTS):
            continue
        own = {kind for kind in kinds for files in KIND_FILES if source.module.startswith(files.format(kind))}
        for word, line in spelled(source.text):
            if word in kinds - own and (source.module, word) not in OTHER_MEANINGS:
                found.append(f"{source.at(line)}: spells the kind of fault {word!r}")
        for each in source.imports if not source.module.startswith(home) else ():
            kind = each.path.removeprefix(home).partition(".")[0]
            if each.ours and each.path.startswith(home) and kind in kinds - own:
                found.append(f"{source.at(each.line)}: imports the kind of fault {kind!r}")
    return found


def events_never_written(code: SourceTree) -> list[str]:
    """Return the names of events that stand in the list of them and that nobody writes."""
    listed = code.by_module["module_utils.run.timeline"]
    written = {
        word for source in code.files for _, word in words_of(code, source, code.written(source, "event"))
    }
    return [
        f"{listed.at(1)}: nobody writes the event {word!r}"
        for words in constants(listed.text).values()
        for word in sorted(words - written)
    ]


def unmirrored_tests(code: SourceTree) -> list[str]:
    """The folders of tests/unit are the packages, data and what crosses packages."""
    packages = {
        path.parent.name
        for base in ("module_utils", "plugin_utils")
        for path in (code.root / "plugins" / base).glob("*/__init__.py")
    }
    unit = code.root / "tests" / "unit"
    folders = {path.name for path in unit.iterdir() if path.is_dir()} - {"data", "behaviour", "__pycache__"}
    loose = {path.name for path in unit.glob("test_*.py")} - {"test_layers.py", "test_types_budget.py"}
    return [
        *(
            f"tests/unit/{name} is no package of module_utils or plugin_utils"
            for name in sorted(folders - packages)
        ),
        *(f"tests/unit/{name} lies in no package's folder" for name in sorted(loose)),
    ]


RULES: Mapping[str, Callable[[SourceTree], list[str]]] = {
    "imports": forbidden_imports,
    "capture": capture_reaches_bcc_alone,
    "snapshot": snapshot_shares_nothing_with_faults,
    "folders": overfull_folders,
    "packages": packages_that_say_something,
    "events": lambda code: dead_words(code, "event"),
    "listed events": events_never_written,
    "kinds": kinds_spelled_elsewhere,
    "journal": lambda code: dead_words(code, "entry"),
    "tests": unmirrored_tests,
}


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_its_plan(rule: str) -> None:
    assert RULES[rule](SourceTree(ROOT)) == []


class Copy:
    """A copy of the code, to plant something in; :meth:`restore` makes it as it was."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT / "plugins", root / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "tests" / "unit").mkdir(parents=True)
        self._was: dict[Path, str | None] = {}

    def plant(self, path: str, text: str) -> None:
        """Add lines to a file, which may be new."""
        file = self._remember(path)
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{file.read_text() if file.exists() else ''}{text}\n" if text else "")

    def remove(self, path: str) -> None:
        """Take a file away."""
        self._remember(path).unlink()

    def found(self, rule: Callable[[SourceTree], list[str]]) -> list[str]:
        """Return what a rule says of the code as it is now."""
        return rule(SourceTree(self.root))

    def restore(self) -> None:
        """Take back what was planted, with folders of its own."""
        for file, text in self._was.items():
            if text is not None:
                file.write_text(text)
                continue
            file.unlink()
            if not any(file.parent.iterdir()):
                file.parent.rmdir()
        self._was.clear()

    def _remember(self, path: str) -> Path:
        file = self.root / path
        self._was.setdefault(file, file.read_text() if file.exists() else None)
        return file


@pytest.fixture(scope="module")
def one_copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("code"))


@pytest.fixture
def copy(one_copy: Copy) -> Iterator[Copy]:
    """A copy of the code as it is."""
    yield one_copy
    one_copy.restore()


HOME = "ansible_collections.exchange.chaos.plugins"


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        (
            "module_utils/common/stats.py",
            "from ..host import disks",
            "common may not import module_utils.host.disks",
        ),
        (
            "module_utils/host/postgres/wire.py",
            "from ...run import lease",
            "host may not import module_utils.run.lease",
        ),
        (
            "module_utils/judge/verdicts.py",
            "from ..run.folder import RunDir",
            "judge may not import module_utils.run",
        ),
        (
            "module_utils/bpf/programs/tcp.py",
            "from ...faults import undo",
            "bpf may not import module_utils.faults",
        ),
        (
            "module_utils/lifecycle/finish.py",
            "from ..bpf import capture",
            "lifecycle may not import module_utils.bpf",
        ),
        (
            "module_utils/run/lease.py",
            f"def late():\n    from {HOME}.module_utils.faults.kinds import kill",
            "run may not import module_utils.faults.kinds.kill",
        ),
        (
            "module_utils/run/lease.py",
            f"import {HOME}.plugin_utils.words",
            "run may not import plugin_utils.words",
        ),
        (
            "plugin_utils/fleet/waves.py",
            f"from {HOME}.module_utils.faults import undo",
            "fleet may not import module_utils.faults.undo",
        ),
        (
            "plugin_utils/report/text.py",
            f"from {HOME}.plugin_utils.live import screen",
            "report may not import",
        ),
        (
            "plugin_utils/record/merge.py",
            f"from {HOME}.action import report",
            "record may not import action.report",
        ),
        (
            "modules/kill.py",
            f"from {HOME}.plugin_utils import words",
            "modules may not import plugin_utils.words",
        ),
        ("modules/kill.py", f"from {HOME}.modules import cpu", "modules may not import modules.cpu"),
        ("callback/report.py", f"from {HOME}.action import report", "callback may not import action.report"),
        (
            "action/gate.py",
            f"from {HOME}.module_utils.run import state",
            "action may not import module_utils.run",
        ),
        ("module_utils/spare/room.py", "", "module_utils.spare.room has no room in the table"),
        ("module_utils/loose.py", "", "module_utils.loose has no room in the table"),
    ],
)
def test_an_import_against_the_table_is_found(copy: Copy, path: str, text: str, wanted: str) -> None:
    copy.plant(f"plugins/{path}", text)
    (found,) = copy.found(forbidden_imports)
    assert wanted in found
    assert found.startswith(f"plugins/{path}:")


def test_a_library_that_the_capture_would_reach_is_found(copy: Copy) -> None:
    copy.plant("plugins/module_utils/run/lifespan.py", "def late():\n    import docker.errors")
    (found,) = copy.found(capture_reaches_bcc_alone)
    assert found.endswith("bpf.capture reaches docker.errors")
    assert found.startswith("plugins/module_utils/run/lifespan.py:")


def test_a_library_in_a_package_on_the_way_is_found(copy: Copy) -> None:
    """Importing bpf.programs.tcp runs bpf/programs/__init__.py first."""
    copy.plant("plugins/module_utils/bpf/programs/__init__.py", "import pyroute2")
    assert len(copy.found(capture_reaches_bcc_alone)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("snapshot/network.py", "from ..host import nftables"),
        ("snapshot/host.py", "from ..faults.kinds import cpu"),
        ("exchange/fault_entry.py", "from ..host.cgroups import find"),  # which the snapshot imports
    ],
)
def test_a_snapshot_that_sees_with_the_faults_eyes_is_found(copy: Copy, path: str, text: str) -> None:
    copy.plant(f"plugins/module_utils/{path}", text)
    assert any("module_utils.snapshot." in each for each in copy.found(snapshot_shares_nothing_with_faults))


@pytest.mark.parametrize("folder", ["module_utils/host", "plugin_utils/report"])
def test_one_module_too_many_is_found(copy: Copy, folder: str) -> None:
    held = len([path for path in (copy.root / "plugins" / folder).glob("*.py") if path.name != "__init__.py"])
    for number in range(MOST_MODULES - held):
        copy.plant(f"plugins/{folder}/more_{number}.py", "")
    assert copy.found(overfull_folders) == []
    copy.plant(f"plugins/{folder}/one_too_many.py", "")
    assert copy.found(overfull_folders) == [f"plugins/{folder} holds 17 modules, more than 16"]


def test_a_package_without_its_file_or_with_something_in_it_is_found(copy: Copy) -> None:
    copy.remove("plugins/module_utils/faults/kinds/__init__.py")
    copy.plant("plugins/plugin_utils/live/__init__.py", "from . import screen")
    copy.plant("plugins/module_utils/judge/spare/__init__.py", "")
    assert copy.found(packages_that_say_something) == [
        "plugins/module_utils/faults/kinds has no __init__.py",
        "plugins/module_utils/judge/spare holds nothing",
        "plugins/plugin_utils/live/__init__.py is not empty",
    ]


@pytest.mark.parametrize(
    "text",
    [
        'def f(run):\n    return run.read_timeline().named("parted")',
        'def f(evidence):\n    return evidence.timeline.named("steady", "parted", fault="f1")',
        'def f(lines):\n    return [line for line in lines if line["event"] == "parted"]',
        'def f(line):\n    return line.get("event") not in ("steady", "parted")',
        'PARTED = "parted"\n\n\ndef f(line):\n    return line["event"] == PARTED',
        'ENDS = ("steady", "parted")\n\n\ndef f(line):\n    return line["event"] in ENDS',
        'class Event:\n    PARTED = "parted"\n\n\ndef f(run):\n    return run.read_timeline().named(Event.PARTED)',
        'def f(line):\n    name, t = line["event"], line["t"]\n    return t if name == "parted" else 0',
        'def f(lines):\n    return {n: [x for x in lines if x["event"] == n] for n in ("steady", "parted")}',
        'def f(line, name):\n    return line["event"] == name\n\n\ndef g(line):\n    return f(line, name="parted")',
    ],
)
def test_an_event_that_is_read_and_never_written_is_found(copy: Copy, text: str) -> None:
    copy.plant("plugins/module_utils/evidence/named_cause.py", text)
    (found,) = copy.found(RULES["events"])
    assert found.endswith("event 'parted' is read and never written")
    copy.plant(
        "plugins/module_utils/run/abort.py", 'def part(run):\n    run.write_event("parted", fault="f1")'
    )
    assert copy.found(RULES["events"]) == []


def test_a_kernel_event_that_no_decoder_knows_is_found(copy: Copy) -> None:
    copy.plant(
        "plugins/module_utils/evidence/named_cause.py",
        'def f(line):\n    return line["event"] == "CONN_LOST"',
    )
    assert len(copy.found(RULES["events"])) == 1


def test_a_state_of_the_journal_that_is_read_and_never_written_is_found(copy: Copy) -> None:
    copy.plant(
        "plugins/module_utils/judge/verdicts.py",
        'def f(line):\n    return line.get("entry") == "closed"',
    )
    (found,) = copy.found(RULES["journal"])
    assert found.endswith("entry 'closed' is read and never written")


def test_an_event_that_is_listed_and_never_written_is_found(copy: Copy) -> None:
    before = copy.found(events_never_written)
    copy.plant("plugins/module_utils/run/timeline.py", 'PARTED = "parted"')
    assert [each for each in copy.found(events_never_written) if each not in before] == [
        "plugins/module_utils/run/timeline.py:1: nobody writes the event 'parted'"
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("module_utils/judge/verdicts.py", 'def f(fault):\n    return fault["kind"] == "kill"'),
        ("module_utils/observe/load/schedule.py", 'ENDING = ("oom", "memory")'),
        ("module_utils/lifecycle/specification.py", 'PROOFS = {"impair": 1}'),
        ("module_utils/lifecycle/finish.py", "from ..faults.kinds import cpu"),
        ("module_utils/faults/kinds/cpu.py", 'OTHERS = ("disk",)'),
        ("plugin_utils/report/text.py", 'def f(fault):\n    return fault.get("kind") in {"partition"}'),
    ],
)
def test_a_kind_that_is_named_outside_its_files_is_found(copy: Copy, path: str, text: str) -> None:
    copy.plant(f"plugins/{path}", text)
    (found,) = copy.found(kinds_spelled_elsewhere)
    assert found.startswith(f"plugins/{path}:")


def test_tests_outside_the_packages_are_found(copy: Copy) -> None:
    copy.plant("tests/unit/judge/test_verdicts.py", "")
    copy.plant("tests/unit/odds/test_ends.py", "")
    copy.plant("tests/unit/test_loose.py", "")
    assert copy.found(unmirrored_tests) == [
        "tests/unit/odds is no package of module_utils or plugin_utils",
        "tests/unit/test_loose.py lies in no package's folder",
    ]
