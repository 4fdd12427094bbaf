# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setup decides on a host: what is missing, what is made again, whom it trusts, which commands it would run."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.exchange.chaos.plugins.action.libraries import ActionModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.programs import Told
from ansible_collections.exchange.chaos.plugins.module_utils.host import libraries
from ansible_collections.exchange.chaos.plugins.module_utils.host.setup import environment, packages
from ansible_collections.exchange.chaos.plugins.module_utils.host.setup.environment import Python
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import wheels

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "host"
PYTHON = Python("/usr/bin/python3", (3, 11))
MANIFEST = {
    "docker-7.2.0-py3-none-any.whl": "aa",
    "charset_normalizer-3.5.2-py3-none-any.whl": "bb",
    "pip-26.0.1-py3-none-any.whl": "cc",
}


def made(folder: Path, **changes: Any) -> Path:
    """An environment as `environment.make_environment` leaves it."""
    site = libraries.locate_packages(folder, PYTHON.version)
    for name in ("docker-7.2.0", "charset_normalizer-3.5.2"):
        (site / f"{name}.dist-info").mkdir(parents=True)
        (site / f"{name}.dist-info" / "RECORD").touch()
    stamp = {**environment.make_stamp(PYTHON, MANIFEST), **changes}
    (folder / "venv" / environment.STAMP).write_text(json.dumps(stamp))
    return site


# --- where our code looks ------------------------------------------------------------------------------------


def test_only_folders_that_nobody_else_can_write_to_are_imported_from(tmp_path: Path) -> None:
    site = made(tmp_path)
    mine = os.geteuid()
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    assert libraries.is_trusted(site, tmp_path, mine)
    assert not libraries.is_trusted(site, tmp_path, mine + 1), "another user's"
    for folder, mode in ((site, 0o775), (tmp_path / "venv", 0o757), (tmp_path, 0o777)):
        folder.chmod(mode)
        assert not libraries.is_trusted(site, tmp_path, mine), f"{folder} with mode {mode:o}"
        folder.chmod(0o755)
    assert not libraries.is_trusted(site, tmp_path / "elsewhere", mine), "not under the folder at all"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    made(tmp_path / "real")
    (tmp_path / "ours").mkdir(mode=0o755)
    (tmp_path / "ours" / "venv").symlink_to(tmp_path / "real" / "venv")
    site = libraries.locate_packages(tmp_path / "ours", PYTHON.version)
    assert site.is_dir()
    assert not libraries.is_trusted(site, tmp_path / "ours", os.geteuid())


def test_the_private_libraries_come_before_the_systems_and_those_of_another_python_never(
    tmp_path: Path,
) -> None:
    site = libraries.locate_packages(tmp_path, sys.version_info[:2])
    site.mkdir(parents=True)
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*"))):
        folder.chmod(0o755)
    (site / "jmespath.py").write_text("ours = True\n")
    script = (
        "import sys; from pathlib import Path\n"
        "from ansible_collections.exchange.chaos.plugins.module_utils.host import libraries\n"
        "print(libraries.make_importable(Path(sys.argv[1]), int(sys.argv[2])))\n"
        "import jmespath; print(getattr(jmespath, 'ours', False))\n"
    )

    def answer() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), str(os.geteuid())],
            env={**os.environ, "PYTHONPATH": str(ROOT / ".collections")},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert answer() == ["True", "True"]
    site.parent.rename(site.parent.with_name("python3.8"))
    assert answer() == ["False", "False"]


def test_the_role_lays_them_where_our_code_looks() -> None:
    assert yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__host_folder"] == str(libraries.FOLDER)


def test_every_file_that_imports_a_library_looks_there_first() -> None:
    """One forgotten would work wherever the system has the library, and nowhere else."""
    imported = set()
    for path in (ROOT / "plugins").glob("module*/**/*.py"):
        lines = [line.strip() for line in path.read_text().splitlines()]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = {str(node.module).partition(".")[0]}
            else:
                continue
            ours = names & {"docker", "pyroute2", "jmespath", "urllib3", "requests"}
            imported |= ours
            if ours:
                assert "libraries.make_importable()" in lines[: node.lineno], (
                    f"{path.name}: line {node.lineno}"
                )
    assert {"docker", "pyroute2", "jmespath", "urllib3"} <= imported


# --- the environment -----------------------------------------------------------------------------------------


def test_an_environment_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path)
    assert environment.explain_remake(tmp_path, PYTHON, MANIFEST, os.geteuid()) == ""


def test_an_environment_that_our_code_would_not_trust_is_made_again(tmp_path: Path) -> None:
    """Else it would be missing to every run, and setup, which brings it, would say that all is well."""
    site = made(tmp_path)
    for folder in (site, tmp_path / "venv", tmp_path):
        mode = folder.stat().st_mode
        folder.chmod(0o777)
        assert "others than root" in environment.explain_remake(tmp_path, PYTHON, MANIFEST, os.geteuid())
        folder.chmod(mode)
    assert "others than root" in environment.explain_remake(tmp_path, PYTHON, MANIFEST, os.geteuid() + 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose folder it is")
@pytest.mark.parametrize("how", ["writable", "another's", "link"])
def test_an_environment_that_others_could_write_to_is_replaced_by_roots_own(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "ours"
    made(folder if how != "link" else tmp_path / "elsewhere")
    if how == "writable":
        (folder / "venv").chmod(0o777)
        folder.chmod(0o777)
    elif how == "another's":
        os.chown(folder / "venv", 65534, 65534)
        os.chown(folder, 65534, 65534)
    else:
        folder.mkdir()
        (folder / "venv").symlink_to(tmp_path / "elsewhere" / "venv")
    (folder / "venv.new").mkdir()
    (folder / "venv.new" / "half").touch()  # of a setup that broke off
    fresh = environment.own_folder(folder)
    fresh.mkdir(mode=0o755)
    environment.put_in_place(folder)
    assert [path.name for path in folder.iterdir()] == ["venv"]
    assert list((folder / "venv").iterdir()) == []
    assert libraries.is_trusted(folder / "venv", folder)
    assert how != "link" or (tmp_path / "elsewhere" / "venv" / environment.STAMP).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose folder it is")
def test_a_setup_that_breaks_off_leaves_the_environment_before_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What undoes a fault at boot imports from it."""

    def fail(*_given: Any) -> None:
        raise ChaosError("no room")

    made(tmp_path)
    monkeypatch.setattr(environment, "_run", fail)
    archive = wheels.pack_wheels([], tmp_path)
    with pytest.raises(ChaosError, match="no room"):
        environment.make_environment(tmp_path, PYTHON, archive, MANIFEST)
    assert environment.explain_remake(tmp_path, PYTHON, MANIFEST) == ""


def test_an_environment_is_made_again_for_another_python_other_wheels_or_what_is_gone(tmp_path: Path) -> None:
    assert environment.explain_remake(tmp_path, PYTHON, MANIFEST) == "there is none yet"
    site = made(tmp_path)
    assert "another Python" in environment.explain_remake(
        tmp_path, Python("/usr/bin/python3", (3, 13)), MANIFEST
    )
    assert "another Python" in environment.explain_remake(
        tmp_path, Python("/usr/bin/python3.11", (3, 11)), MANIFEST
    )
    other = {**MANIFEST, "docker-7.2.0-py3-none-any.whl": "dd"}
    assert "other wheels" in environment.explain_remake(tmp_path, PYTHON, other)
    (site / "docker-7.2.0.dist-info" / "RECORD").unlink()
    assert environment.explain_remake(tmp_path, PYTHON, MANIFEST) == "docker 7.2.0 is gone from it"
    (tmp_path / "venv" / environment.STAMP).write_text("half a li")
    assert environment.explain_remake(tmp_path, PYTHON, MANIFEST) == "there is none yet"


def test_the_commands_need_no_pip_and_no_network(tmp_path: Path) -> None:
    venv, pip = environment.plan_commands(tmp_path / "venv.new", PYTHON, Path("/scratch"), list(MANIFEST))
    assert venv[:3] == ["/usr/bin/python3", "-m", "venv"]
    assert "--without-pip" in venv
    assert pip[0] == str(tmp_path / "venv.new" / "bin" / "python")
    assert {"--no-index", "--no-cache-dir"} <= set(pip)
    carried = [word for word in pip if word.endswith(".whl")]
    assert carried == [f"/scratch/{name}" for name in sorted(MANIFEST) if not name.startswith("pip-")]


def test_the_hosts_own_settings_of_pip_and_python_do_not_matter() -> None:
    around = environment.pip_environ(
        {"PIP_INDEX_URL": "https://example.com", "PYTHONHOME": "/x", "PATH": "/bin"},
        Path("/scratch"),
        list(MANIFEST),
    )
    assert around["PYTHONPATH"] == "/scratch/pip-26.0.1-py3-none-any.whl"
    assert around["PIP_CONFIG_FILE"] == os.devnull
    assert around["PATH"] == "/bin"
    assert not {"PIP_INDEX_URL", "PYTHONHOME"} & set(around)
    with pytest.raises(ChaosError, match="pip's own wheel is missing"):
        environment.pip_environ({}, Path("/scratch"), ["docker-7.2.0-py3-none-any.whl"])


def test_a_wheel_for_one_platform_is_refused() -> None:
    assert environment.parse_wheel_name("charset_normalizer-3.5.2-py3-none-any.whl") == (
        "charset_normalizer",
        "3.5.2",
    )
    for name in ("cffi-2.1.1-cp311-cp311-manylinux_2_17_x86_64.whl", "docker-7.2.0.tar.gz", "../x.whl"):
        with pytest.raises(ChaosError, match="is no wheel for every platform"):
            environment.parse_wheel_name(name)


def test_selinux_labels_are_laid_where_there_is_selinux() -> None:
    folder = Path("/usr/local/lib/exchange-chaos")
    assert environment.plan_relabel(folder, selinux=True, restorecon="/sbin/restorecon") == [
        *("/sbin/restorecon", "-R", str(folder))
    ]
    assert environment.plan_relabel(folder, selinux=True, restorecon=None) == []
    assert environment.plan_relabel(folder, selinux=False, restorecon="/sbin/restorecon") == []


class Carrying(ActionModule):  # type: ignore[misc]  # ansible-core is untyped
    """The action with a connection that only notes which temporary folders there are on the host."""

    def __init__(self, folder: Path) -> None:
        self._task = SimpleNamespace(args={"wheels": str(folder)}, check_mode=False)
        self._connection = SimpleNamespace(
            _shell=SimpleNamespace(tmpdir=None, join_path=lambda *parts: "/".join(parts))
        )
        self.there: list[str] = []
        self.carried: list[str] = []
        self._make_tmp_path()  # as Ansible does first of all for an action that transfers files

    def _make_tmp_path(self, remote_user: Any = None) -> str:
        self._connection._shell.tmpdir = f"/tmp/{len(self.there)}"
        self.there.append(self._connection._shell.tmpdir)
        return str(self._connection._shell.tmpdir)

    def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
        self.there.remove(tmp_path)
        self._connection._shell.tmpdir = None

    def _transfer_file(self, local_path: Any, remote_path: Any) -> Any:
        self.carried.append(remote_path)

    def _module(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        return {"changed": True, "archive": arguments.get("archive")}


def test_the_wheels_leave_no_temporary_folder_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_given: {})
    for name, version in pins().items():
        (tmp_path / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_text(name)
    action = Carrying(tmp_path)
    assert action.run(task_vars={})["archive"] == "/tmp/0/wheels.zip"
    assert action.carried == ["/tmp/0/wheels.zip"]
    assert action.there == []


# --- the wheels on the controller ----------------------------------------------------------------------------


def pins() -> dict[str, str]:
    return wheels.parse_pins(wheels.REQUIREMENTS.read_text())


def test_hosts_and_controller_have_the_same_versions_of_what_we_import() -> None:
    controller = wheels.parse_pins((ROOT / "requirements.txt").read_text())
    for name in ("docker", "jmespath", "pyroute2"):
        assert pins()[name] == controller[name]
    assert "pip" in pins(), "it installs the others"


def test_the_wheels_of_a_folder_must_be_all_of_the_pins(tmp_path: Path) -> None:
    for name, version in pins().items():
        (tmp_path / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_text(name)
    assert len(wheels.find_wheels(str(tmp_path))) == len(pins())
    (tmp_path / f"docker-{pins()['docker']}-py3-none-any.whl").rename(
        tmp_path / "docker-1.0-py3-none-any.whl"
    )
    with pytest.raises(
        wheels.WheelError, match=rf"lacks the pure wheels of docker {pins()['docker']}; made with: "
    ):
        wheels.find_wheels(str(tmp_path))


def test_a_controller_without_an_index_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(wheels, "download_command", lambda python, folder: ["false", str(folder)])
    with pytest.raises(wheels.WheelError, match="name that folder in host_wheels"):
        wheels.find_wheels(None)
    assert [path.name for path in (tmp_path / "exchange-chaos").iterdir()] == ["wheels.lock"]


def test_the_documentation_has_the_command_by_which_wheels_are_made() -> None:
    command = " ".join(wheels.download_command("python3", Path("wheels")))
    command = command.replace(f"{ROOT}/", "").replace(
        str(wheels.REQUIREMENTS), "roles/host/files/requirements.txt"
    )
    shown = " ".join((ROOT / "docs" / "dependencies.md").read_text().replace("\\\n", " ").split())
    assert command.replace("--quiet --disable-pip-version-check ", "") in shown


# --- packages ------------------------------------------------------------------------------------------------

LISTING = "installed bash\ninstalled python3\nconfig-files python3-bpfcc\nhalf-configured libx\n\n"


def test_what_is_only_half_there_is_missing() -> None:
    assert packages.parse_listing(LISTING) == {"bash", "python3"}
    assert packages.list_lacking(["python3-bpfcc", "bash"], packages.parse_listing(LISTING)) == [
        "python3-bpfcc"
    ]


def test_an_archives_key_is_no_package() -> None:
    """The first install imports it; removed with the rest it would be missing to the owner, or stop the removal."""
    assert packages.parse_listing("installed bash\ninstalled gpg-pubkey\ninstalled gpg-pubkey\n") == {"bash"}


class Manager:
    """A package manager of our own: what is installed, which commands came, which of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, present: set[str], *, fails: str = "") -> None:
        self.present, self.fails, self.commands = present, fails, list[list[str]]()
        self.brings, self.endless = {"libbpfcc", "python3-bpfcc"}, False
        monkeypatch.setattr(packages, "_run", self.run)

    def run(self, command: Any) -> Told:
        words = list(command)
        if words[0] == "dpkg-query":
            listed = "".join(f"installed {name}\n" for name in sorted(self.present))
            return Told(0, listed.encode(), b"", whole=not self.endless)
        self.commands.append(words)
        if "install" in words:
            self.present |= self.brings
        if self.fails and self.fails in words:
            raise ChaosError("dpkg failed: other depends on libbpfcc")
        if words[:2] == ["dpkg", "--purge"]:
            self.present -= set(words[2:])
        return Told(0, b"", b"", whole=True)


def test_a_listing_without_an_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Manager(monkeypatch, {"bash"}).endless = True
    with pytest.raises(ChaosError, match="dpkg-query lists more than 4 MiB of packages"):
        packages.list_installed(packages.MANAGERS["apt"])


def test_what_came_is_noted_and_nothing_else_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager, record = Manager(monkeypatch, {"bash"}), tmp_path / "etc" / "packages.json"
    apt = packages.MANAGERS["apt"]
    assert packages.install_packages(apt, ["python3-bpfcc"], None, record) == ["libbpfcc", "python3-bpfcc"]
    assert [words[-1] for words in manager.commands] == ["update", "python3-bpfcc"]
    assert packages.read_noted(record) == ["libbpfcc", "python3-bpfcc"]
    manager.present.discard("libbpfcc")  # the owner removed it meanwhile
    assert packages.remove_packages(apt, record) == ["python3-bpfcc"]
    assert manager.commands[-2:] == [
        ["dpkg", "--no-act", "--purge", "python3-bpfcc"],
        ["dpkg", "--purge", "python3-bpfcc"],
    ]
    assert manager.present == {"bash"}
    assert not record.exists()


def test_what_others_need_by_now_stays_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manager, record = Manager(monkeypatch, {"bash"}), tmp_path / "packages.json"
    packages.install_packages(packages.MANAGERS["apt"], ["python3-bpfcc"], None, record)
    manager.fails = "--no-act"
    with pytest.raises(ChaosError, match="Nothing was removed: others need"):
        packages.remove_packages(packages.MANAGERS["apt"], record)
    assert manager.present == {"bash", "libbpfcc", "python3-bpfcc"}
    assert record.exists()


def test_what_came_before_a_failure_is_noted_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Manager(monkeypatch, {"bash"}, fails="install")
    with pytest.raises(ChaosError):
        packages.install_packages(
            packages.MANAGERS["apt"], ["python3-bpfcc"], None, tmp_path / "packages.json"
        )
    assert packages.read_noted(tmp_path / "packages.json") == ["libbpfcc", "python3-bpfcc"]


def test_files_that_were_carried_over_download_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = Manager(monkeypatch, {"bash"})
    with pytest.raises(ChaosError, match=r"There is no \.deb file"):
        packages.install_packages(
            packages.MANAGERS["apt"], ["python3-bpfcc"], tmp_path, tmp_path / "packages.json"
        )
    for name in ("a.deb", "b.deb", "notes.txt"):
        (tmp_path / name).touch()
    packages.install_packages(
        packages.MANAGERS["apt"], ["python3-bpfcc"], tmp_path, tmp_path / "packages.json"
    )
    (command,) = manager.commands
    assert command[-3:] == ["install", f"{tmp_path}/a.deb", f"{tmp_path}/b.deb"]
    assert "--no-download" in command
    assert "--disablerepo=*" in packages.MANAGERS["dnf"].carried


def test_files_without_what_was_wanted_are_no_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder for another kind of host, or half a one, of which the package manager has nothing to complain."""
    Manager(monkeypatch, {"bash"}).brings = {"libbpfcc"}
    (tmp_path / "libbpfcc.deb").touch()
    with pytest.raises(ChaosError, match="python3-bpfcc did not come: the package files"):
        packages.install_packages(
            packages.MANAGERS["apt"], ["python3-bpfcc"], tmp_path, tmp_path / "packages.json"
        )
    assert packages.read_noted(tmp_path / "packages.json") == ["libbpfcc"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROLE / "vars").glob("[A-Z]*.yml")))
def test_every_known_distribution_is_told_in_full(name: str) -> None:
    known = yaml.safe_load((ROLE / "vars" / f"{name}.yml").read_text())
    assert known["__host_manager"] in packages.MANAGERS
    assert set(known) == {"__host_manager", "__host_oldest", "__host_bcc", "__host_library_packages"}
    assert known["__host_bcc"] or name == "RedHat-8", (
        "only there the distribution's bcc is for too old a Python"
    )


def tasks(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text()))


def test_files_of_a_folder_that_was_wrong_do_not_stay_beside_the_right_ones() -> None:
    (block,) = (task for task in tasks("packages") if "block" in task)
    assert any("exchange.chaos.packages" in task for task in block["block"])
    assert block["always"][0]["ansible.builtin.file"] == {
        "path": "{{ __host_folder }}/packages",
        "state": "absent",
    }


def test_consent_is_the_last_thing_laid_and_the_first_taken() -> None:
    """A setup or a removal may break off anywhere: no run begins on a host without the units, say."""
    laid = [str(task) for task in tasks("main") if "ansible.builtin.debug" not in task]
    assert "/etc/exchange-chaos/consent" in laid[-1]
    taken = [
        task["ansible.builtin.file"]["path"] for task in tasks("remove") if "ansible.builtin.file" in task
    ]
    assert taken[0] == "/etc/exchange-chaos/consent"


@pytest.mark.parametrize(
    ("told", "expected"),
    [({}, "/var/lib/exchange-chaos"), ({"chaos_state_dir": ""}, "/var/lib/exchange-chaos"),
     ({"chaos_state_dir": "/data/chaos"}, "/data/chaos")],
)  # fmt: skip
def test_the_boot_unit_looks_where_runs_live(told: dict[str, str], expected: str) -> None:
    default = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())["host_state_dir"]
    assert jinja2.Template(default).render(told) == expected


# --- units ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    (tmp_path / "chaos.pyz").touch()
    facts = {
        "ansible_facts": {"python": {"executable": "/usr/bin/python3"}},
        "__host_folder": str(tmp_path),
        "host_state_dir": "/var/lib/exchange-chaos",
    }
    units = []
    for template in sorted((ROLE / "templates").glob("*.j2")):
        unit = tmp_path / template.stem
        unit.write_text(jinja2.Template(template.read_text(), undefined=jinja2.StrictUndefined).render(facts))
        units.append(str(unit))
    assert len(units) == 2
    assert f"ExecStart=/usr/bin/python3 {tmp_path}/chaos.pyz recover /var/lib" in Path(units[0]).read_text()
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "exchange-chaos" in line]
    assert done.returncode == 0, done.stderr
    assert ours == []
