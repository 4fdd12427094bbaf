# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module comes compiled out of the runtime on the host and answers as it does whole; it is never run twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.archive import run_archive
from ansible_collections.exchange.chaos.plugins.modules import from_runtime
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import on_host, runtime

pytestmark = pytest.mark.slow

RUN = "exp-01-core"
PLUGINS = "ansible_collections/exchange/chaos/plugins"
#: What Ansible packs of the collection for from_runtime.
PACKED = ("module_utils/common/archive.py", "module_utils/common/bounds.py", "module_utils/common/files.py")
CALL = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), "legacy"
runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)
"""
WATCHED = {"run_id": RUN, "phase": "baseline", "seconds": 1}


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return runtime.build_archive()


@pytest.fixture
def packed(tmp_path: Path, root: Path) -> Path:
    """What Ansible makes of from_runtime: it, what it imports, and the packages above."""
    path = tmp_path / "module.zip"
    with zipfile.ZipFile(path, "w") as made:
        for package in (
            "ansible_collections", "ansible_collections/exchange", "ansible_collections/exchange/chaos", PLUGINS,
            f"{PLUGINS}/modules", f"{PLUGINS}/module_utils", f"{PLUGINS}/module_utils/common",
        ):  # fmt: skip
            made.writestr(f"{package}/__init__.py", "")
        for name in ("modules/from_runtime.py", *PACKED):
            made.write(root / "plugins" / name, f"{PLUGINS}/{name}")
    return path


def call(packed: Path, given: dict[str, Any], name: str = "from_runtime") -> subprocess.CompletedProcess[str]:
    """What a module's process says that has the packed part of the collection alone."""
    module = f"{PLUGINS.replace('/', '.')}.modules.{name}"
    return subprocess.run(
        [sys.executable, "-c", CALL, str(packed), module],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}), capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip


def asked(archive: Path, **more: Any) -> dict[str, Any]:
    """What an action asks from_runtime for."""
    return {
        "module": "window", "arguments": {**WATCHED, "state_dir": str(archive.parent / "none")},
        "sha256": runtime.hash_archive(archive), "_ansible_check_mode": True, **more,
    }  # fmt: skip


def test_a_module_out_of_the_runtime_answers_as_it_does_whole(
    archive: Path, packed: Path, root: Path
) -> None:
    done = call(packed, asked(archive, runtime=str(archive)))
    assert done.returncode == 0, done.stderr
    whole = call(root / ".collections", {**WATCHED, "_ansible_check_mode": True}, "window")
    assert whole.returncode == 0, whole.stderr
    answer = json.loads(done.stdout)
    answer["invocation"]["module_args"].pop("state_dir")
    expected = json.loads(whole.stdout)
    expected["invocation"]["module_args"].pop("state_dir")
    assert answer == expected


def test_check_mode_and_a_wrong_argument_reach_the_module_itself(archive: Path, packed: Path) -> None:
    wrong = asked(archive, runtime=str(archive), arguments={**WATCHED, "until": "noon"})
    answer = json.loads(call(packed, wrong).stdout)
    assert answer["failed"]
    assert "until" in answer["msg"]
    acting = asked(archive, runtime=str(archive), _ansible_check_mode=False)
    answer = json.loads(call(packed, acting).stdout)
    assert answer["failed"]
    assert f"No run {RUN} is under way" in answer["msg"]


def test_it_is_compiled_already(archive: Path) -> None:
    """A source beside it that says something else shows what is loaded, and that another Python takes the source."""
    with zipfile.ZipFile(archive) as made:
        content = {name: made.read(name) for name in made.namelist()}
    sources = [name for name in content if name.endswith(".py")]
    assert {f"{name}c" for name in sources} <= content.keys()
    marked = archive.with_name("marked.pyz")
    name = "exchange_chaos/common/errors.py"
    for head, expected in ((b"", "compiled"), (b"another", "source")):
        with zipfile.ZipFile(marked, "w") as made:
            for each, data in content.items():
                # the magic number of another Python in front
                cut = head + data[len(head) :] if each == f"{name}c" else data
                made.writestr(each, b"SAYS = 'source'" if each == name else cut)
        told = subprocess.run(
            [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); from exchange_chaos.common import "
             "errors; print(getattr(errors, 'SAYS', 'compiled'))", str(marked)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout.strip() == expected


def laid(archive: Path, state: Path) -> Path:
    """A run's folder with its runtime."""
    path = run_archive(RUN, state)
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(archive.read_bytes())
    return path


def test_the_runtime_of_the_run_is_used(archive: Path, tmp_path: Path) -> None:
    path = laid(archive, tmp_path / "state")
    given = asked(archive, arguments={"run_id": RUN, "state_dir": str(tmp_path / "state")})
    assert from_runtime.find_runtime(given) == path
    (tmp_path / "state" / "runs").rename(tmp_path / "state" / "records")
    assert from_runtime.find_runtime(given) == tmp_path / "state" / "records" / RUN / "chaos.pyz"


@pytest.mark.parametrize("spoilt", ["missing", "other", "link", "fifo", "folder"])
def test_a_runtime_that_is_not_the_one_is_not_used(archive: Path, tmp_path: Path, spoilt: str) -> None:
    path = laid(archive, tmp_path / "state")
    why = "cannot be read"
    if spoilt == "other":
        path.write_bytes(path.read_bytes() + b" ")
        why = "is another runtime"
    elif spoilt == "folder":
        path.parent.parent.chmod(0o777)
        why = "can be written by others"
    else:
        path.unlink()
        if spoilt == "link":
            path.symlink_to(archive)
        elif spoilt == "fifo":
            os.mkfifo(path)
    given = asked(archive, arguments={"run_id": RUN, "state_dir": str(tmp_path / "state")})
    with pytest.raises(LookupError, match=why):
        from_runtime.find_runtime(given)


def test_a_run_id_leads_nowhere_else(tmp_path: Path) -> None:
    assert run_archive("../../etc", tmp_path).parent.parent == tmp_path / "runs"


def test_what_it_does_not_use_it_says_without_the_arguments(archive: Path, packed: Path) -> None:
    given = asked(archive, arguments={"run_id": RUN, "password": "s3cret-word"}, sha256="0" * 64)
    given["runtime"] = str(archive)
    done = call(packed, given)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "another runtime" in answer["unusable"]
    assert not answer["changed"]
    assert "s3cret-word" not in done.stdout + done.stderr


#: A password that is also a name, and one that is also a number; the canary stands for one that is neither.
FAULT = {
    "run_id": RUN,
    "project": "trading",
    "service": "db",
    "fault": "full",
    "ttl": 30,
    "state_dir": "/nowhere",
}
SECRET = {
    "preflight": {
        "project": "trading", "services": {}, "experiments": [{"number": 1, "name": "one", "title": "One"}],
    },
    "discover": {"state": "filled", "project": "trading"},
    "connections": {**FAULT, "user": "trading", "database": "trading"},
    "lock": {**FAULT, "user": "trading", "database": "trading", "table": "trading.orders"},
}  # fmt: skip


@pytest.mark.parametrize("module", SECRET)
@pytest.mark.parametrize("password", ["trading", "1", "s3cret-word"])
def test_a_password_blots_no_word_of_the_answer_and_is_in_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, module: str, password: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://trading:1")
    given = {**SECRET[module], "password": password, "_ansible_check_mode": True}
    if module == "preflight":
        given |= {"remote": False, "headers": {"X-Token": password}, "admin_password": password}
    done = call(root / ".collections", given, module)
    answer = json.loads(done.stdout)
    named = answer["invocation"]["module_args"]
    assert {named[key] for key in ("password", "headers", "admin_password") if named.get(key)} == {"(secret)"}
    assert "DOCKER_HOST is tcp://trading:1" in done.stdout
    assert "***" not in done.stdout
    assert "NO_LOG" not in done.stdout
    assert [row["number"] for row in answer.get("rows", [])] == [1] * (module == "preflight")
    assert "s3cret-word" not in done.stdout + done.stderr


class Recorded:
    """An action that notes what is run on the host, and answers what it is told to."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers = list(answers)

    def _execute_module(
        self, module_name: str, module_args: dict[str, Any], task_vars: Any
    ) -> dict[str, Any]:
        self.calls.append((module_name, module_args))
        return self._answers.pop(0)


def test_the_whole_module_is_sent_where_there_is_no_runtime(archive: Path) -> None:
    action = Recorded({"unusable": "none there", "changed": False}, {"changed": True})
    assert on_host.run_module(action, "kill", {"run_id": RUN}, {}) == {"changed": True}
    assert [name for name, _ in action.calls] == ["exchange.chaos.from_runtime", "exchange.chaos.kill"]
    assert action.calls[1][1] == {"run_id": RUN}


@pytest.mark.parametrize(
    "answer", [{"changed": True}, {"failed": True, "msg": "no"}, {"failed": True, "unreachable": True}, {}]
)
def test_whatever_a_module_answered_it_is_not_run_again(archive: Path, answer: dict[str, Any]) -> None:
    action = Recorded(answer)
    assert on_host.run_module(action, "kill", {"run_id": RUN}, {}, runtime="/there/chaos.pyz") == answer
    ((_, given),) = action.calls
    assert given["runtime"] == "/there/chaos.pyz"
    assert given["sha256"] == runtime.hash_archive(runtime.build_archive())
