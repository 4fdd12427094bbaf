# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What setup decides on a host: what is missing, what is made again, whom it trusts, which commands it would run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.exchange.chaos.plugins.module_utils import environment, libraries, packages
from ansible_collections.exchange.chaos.plugins.module_utils.environment import Python
from ansible_collections.exchange.chaos.plugins.module_utils.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.plugin_utils import wheels

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "host"
PYTHON = Python("/usr/bin/python3", (3, 11))
MANIFEST = {
    "docker-7.2.0-py3-none-any.whl": "aa",
    "charset_normalizer-3.5.2-py3-none-any.whl": "bb",
    "pip-26.0.1-py3-none-any.whl": "cc",
}


def made(folder: Path, **changes: Any) -> Path:
    """An environment as `environment.make` leaves it."""
    site = libraries.site(folder, PYTHON.version)
    for name in ("docker-7.2.0", "charset_normalizer-3.5.2"):
        (site / f"{name}.dist-info").mkdir(parents=True)
        (site / f"{name}.dist-info" / "RECORD").touch()
    stamp = {**environment.stamp(PYTHON, MANIFEST), **changes}
    (folder / "venv" / environment.STAMP).write_text(json.dumps(stamp))
    return site


# --- where our code looks ------------------------------------------------------------------------------------


def test_only_folders_that_nobody_else_can_write_to_are_imported_from(tmp_path: Path) -> None:
    site = made(tmp_path)
    mine = os.geteuid()
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    assert libraries.trusted(site, tmp_path, mine)
    assert not libraries.trusted(site, tmp_path, mine + 1), "another user's"
    for folder, mode in ((site, 0o775), (tmp_path / "venv", 0o757), (tmp_path, 0o777)):
        folder.chmod(mode)
        assert not libraries.trusted(site, tmp_path, mine), f"{folder} with mode {mode:o}"
        folder.chmod(0o755)
    assert not libraries.trusted(site, tmp_path / "elsewhere", mine), "not under the folder at all"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    made(tmp_path / "real")
    (tmp_path / "ours").mkdir(mode=0o755)
    (tmp_path / "ours" / "venv").symlink_to(tmp_path / "real" / "venv")
    site = libraries.site(tmp_path / "ours", PYTHON.version)
    assert site.is_dir()
    assert not libraries.trusted(site, tmp_path / "ours", os.geteuid())


def test_the_private_libraries_come_before_the_systems_and_those_of_another_python_never(
    tmp_path: Path,
) -> None:
    site = libraries.site(tmp_path, sys.version_info[:2])
    site.mkdir(parents=True)
    for folder in (tmp_path, *(path for path in tmp_path.rglob("*"))):
        folder.chmod(0o755)
    (site / "jmespath.py").write_text("ours = True\n")
    script = (
        "import sys; from pathlib import Path\n"
        "from ansible_collections.exchange.chaos.plugins.module_utils import libraries\n"
        "print(libraries.reach(Path(sys.argv[1]), int(sys.argv[2])))\n"
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
    for path in (ROOT / "plugins" / "module_utils").rglob("*.py"):
        text = path.read_text()
        for name in ("docker", "pyroute2", "jmespath", "urllib3"):
            for line in (f"\n    import {name}\n", f"\n    from {name} import", f"\n    from {name}."):
                if line in text:
                    assert "libraries.reach()" in text[: text.index(line)], f"{path.name}: {line.strip()}"


# --- the environment -----------------------------------------------------------------------------------------


def test_an_environment_as_it_should_be_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path)
    assert environment.reason(tmp_path, PYTHON, MANIFEST) == ""


def test_an_environment_is_made_again_for_another_python_other_wheels_or_what_is_gone(tmp_path: Path) -> None:
    assert environment.reason(tmp_path, PYTHON, MANIFEST) == "there is none yet"
    site = made(tmp_path)
    assert "another Python" in environment.reason(tmp_path, Python("/usr/bin/python3", (3, 13)), MANIFEST)
    assert "another Python" in environment.reason(tmp_path, Python("/usr/bin/python3.11", (3, 11)), MANIFEST)
    other = {**MANIFEST, "docker-7.2.0-py3-none-any.whl": "dd"}
    assert "other wheels" in environment.reason(tmp_path, PYTHON, other)
    (site / "docker-7.2.0.dist-info" / "RECORD").unlink()
    assert environment.reason(tmp_path, PYTHON, MANIFEST) == "docker 7.2.0 is gone from it"
    (tmp_path / "venv" / environment.STAMP).write_text("half a li")
    assert environment.reason(tmp_path, PYTHON, MANIFEST) == "there is none yet"


def test_the_commands_need_no_pip_and_no_network(tmp_path: Path) -> None:
    venv, pip = environment.commands(tmp_path, PYTHON, Path("/scratch"), list(MANIFEST))
    assert venv[:3] == ["/usr/bin/python3", "-m", "venv"]
    assert "--without-pip" in venv
    assert pip[0] == str(tmp_path / "venv" / "bin" / "python")
    assert {"--no-index", "--no-cache-dir"} <= set(pip)
    carried = [word for word in pip if word.endswith(".whl")]
    assert carried == [f"/scratch/{name}" for name in sorted(MANIFEST) if not name.startswith("pip-")]


def test_the_hosts_own_settings_of_pip_and_python_do_not_matter() -> None:
    around = environment.surroundings(
        {"PIP_INDEX_URL": "https://example.com", "PYTHONHOME": "/x", "PATH": "/bin"},
        Path("/scratch"),
        list(MANIFEST),
    )
    assert around["PYTHONPATH"] == "/scratch/pip-26.0.1-py3-none-any.whl"
    assert around["PIP_CONFIG_FILE"] == os.devnull
    assert around["PATH"] == "/bin"
    assert not {"PIP_INDEX_URL", "PYTHONHOME"} & set(around)
    with pytest.raises(ChaosError, match="pip's own wheel is missing"):
        environment.surroundings({}, Path("/scratch"), ["docker-7.2.0-py3-none-any.whl"])


def test_a_wheel_for_one_platform_is_refused() -> None:
    assert environment.wheel("charset_normalizer-3.5.2-py3-none-any.whl") == ("charset_normalizer", "3.5.2")
    for name in ("cffi-2.1.1-cp311-cp311-manylinux_2_17_x86_64.whl", "docker-7.2.0.tar.gz", "../x.whl"):
        with pytest.raises(ChaosError, match="is no wheel for every platform"):
            environment.wheel(name)


def test_selinux_labels_are_laid_where_there_is_selinux() -> None:
    folder = Path("/usr/local/lib/exchange-chaos")
    assert environment.relabel(folder, selinux=True, restorecon="/sbin/restorecon") == [
        *("/sbin/restorecon", "-R", str(folder))
    ]
    assert environment.relabel(folder, selinux=True, restorecon=None) == []
    assert environment.relabel(folder, selinux=False, restorecon="/sbin/restorecon") == []


# --- the wheels on the controller ----------------------------------------------------------------------------


def pins() -> dict[str, str]:
    return wheels.wanted(wheels.REQUIREMENTS.read_text())


def test_hosts_and_controller_have_the_same_versions_of_what_we_import() -> None:
    controller = wheels.wanted((ROOT / "requirements.txt").read_text())
    for name in ("docker", "jmespath", "pyroute2"):
        assert pins()[name] == controller[name]
    assert "pip" in pins(), "it installs the others"


def test_the_wheels_of_a_folder_must_be_all_of_the_pins(tmp_path: Path) -> None:
    for name, version in pins().items():
        (tmp_path / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_text(name)
    assert len(wheels.given(str(tmp_path))) == len(pins())
    (tmp_path / f"docker-{pins()['docker']}-py3-none-any.whl").rename(
        tmp_path / "docker-1.0-py3-none-any.whl"
    )
    with pytest.raises(
        wheels.WheelError, match=rf"lacks the pure wheels of docker {pins()['docker']}; made with: "
    ):
        wheels.given(str(tmp_path))


def test_a_controller_without_an_index_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(wheels, "download_command", lambda python, folder: ["false", str(folder)])
    with pytest.raises(wheels.WheelError, match="name that folder in host_wheels"):
        wheels.given(None)
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
    assert packages.parse(LISTING) == {"bash", "python3"}
    assert packages.lacking(["python3-bpfcc", "bash"], packages.parse(LISTING)) == ["python3-bpfcc"]


class Manager:
    """A package manager of our own: what is installed, which commands came, which of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, present: set[str], *, fails: str = "") -> None:
        self.present, self.fails, self.commands = present, fails, list[list[str]]()
        monkeypatch.setattr(packages, "_run", self.run)

    def run(self, command: Any) -> str:
        words = list(command)
        if words[0] == "dpkg-query":
            return "".join(f"installed {name}\n" for name in sorted(self.present))
        self.commands.append(words)
        if "install" in words:
            self.present |= {"libbpfcc", "python3-bpfcc"}
        if self.fails and self.fails in words:
            raise ChaosError("dpkg failed: other depends on libbpfcc")
        if words[:2] == ["dpkg", "--purge"]:
            self.present -= set(words[2:])
        return ""


def test_what_came_is_noted_and_nothing_else_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager, record = Manager(monkeypatch, {"bash"}), tmp_path / "etc" / "packages.json"
    apt = packages.MANAGERS["apt"]
    assert packages.install(apt, ["python3-bpfcc"], None, record) == ["libbpfcc", "python3-bpfcc"]
    assert [words[-1] for words in manager.commands] == ["update", "python3-bpfcc"]
    assert packages.noted(record) == ["libbpfcc", "python3-bpfcc"]
    manager.present.discard("libbpfcc")  # the owner removed it meanwhile
    assert packages.remove(apt, record) == ["python3-bpfcc"]
    assert manager.commands[-2:] == [
        ["dpkg", "--no-act", "--purge", "python3-bpfcc"],
        ["dpkg", "--purge", "python3-bpfcc"],
    ]
    assert manager.present == {"bash"}
    assert not record.exists()


def test_what_others_need_by_now_stays_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manager, record = Manager(monkeypatch, {"bash"}), tmp_path / "packages.json"
    packages.install(packages.MANAGERS["apt"], ["python3-bpfcc"], None, record)
    manager.fails = "--no-act"
    with pytest.raises(ChaosError, match="Nothing was removed: others need"):
        packages.remove(packages.MANAGERS["apt"], record)
    assert manager.present == {"bash", "libbpfcc", "python3-bpfcc"}
    assert record.exists()


def test_what_came_before_a_failure_is_noted_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Manager(monkeypatch, {"bash"}, fails="install")
    with pytest.raises(ChaosError):
        packages.install(packages.MANAGERS["apt"], ["python3-bpfcc"], None, tmp_path / "packages.json")
    assert packages.noted(tmp_path / "packages.json") == ["libbpfcc", "python3-bpfcc"]


def test_files_that_were_carried_over_download_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = Manager(monkeypatch, {"bash"})
    with pytest.raises(ChaosError, match=r"There is no \.deb file"):
        packages.install(packages.MANAGERS["apt"], ["python3-bpfcc"], tmp_path, tmp_path / "packages.json")
    for name in ("a.deb", "b.deb", "notes.txt"):
        (tmp_path / name).touch()
    packages.install(packages.MANAGERS["apt"], ["python3-bpfcc"], tmp_path, tmp_path / "packages.json")
    (command,) = manager.commands
    assert command[-3:] == ["install", f"{tmp_path}/a.deb", f"{tmp_path}/b.deb"]
    assert "--no-download" in command
    assert "--disablerepo=*" in packages.MANAGERS["dnf"].carried


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROLE / "vars").glob("[A-Z]*.yml")))
def test_every_known_distribution_is_told_in_full(name: str) -> None:
    known = yaml.safe_load((ROLE / "vars" / f"{name}.yml").read_text())
    assert known["__host_manager"] in packages.MANAGERS
    assert set(known) == {"__host_manager", "__host_oldest", "__host_bcc", "__host_library_packages"}
    assert known["__host_bcc"] or name == "RedHat-8", (
        "only there the distribution's bcc is for too old a Python"
    )


#: Distribution, family, major version, Python → manager and packages wanted, or words of the refusal.
KINDS = [
    ("Debian", "Debian", "12", "3.11", "apt python3-bpfcc"),
    ("Ubuntu", "Debian", "24", "3.12", "apt python3-bpfcc"),
    ("RedHat", "RedHat", "9", "3.9", "dnf python3-bcc"),
    ("Rocky", "RedHat", "10", "3.12", "dnf python3-bcc"),
    ("RedHat", "RedHat", "8", "3.9", "dnf "),
    ("AlmaLinux", "RedHat", "8", "3.11", "dnf "),
    ("Fedora", "RedHat", "41", "3.13", "dnf python3-bcc"),
    ("Debian", "Debian", "10", "3.9", "runs Debian 10, which setup does not know"),
    ("CentOS", "RedHat", "7", "3.9", "runs CentOS 7, which setup does not know"),
    ("SLES", "Suse", "15", "3.11", "runs SLES 15, which setup does not know"),
    ("Ubuntu", "Debian", "22", "3.8", "Python 3.8, on this; 3.9 or later is needed"),
]


def test_what_is_brought_follows_from_the_hosts_facts(tmp_path: Path) -> None:
    """One play of the role's own decision over hosts that only say what they are."""
    hosts = {}
    for number, (distribution, family, major, python, _expected) in enumerate(KINDS):
        version = dict(zip(("major", "minor"), map(int, python.split("."))))
        facts = {"distribution": distribution, "os_family": family, "distribution_major_version": major}
        facts |= {
            "distribution_version": major,
            "python": {"executable": "/usr/bin/python3", "version": version},
        }
        hosts[f"kind{number}"] = {"kind": facts}
    inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "exchange.chaos.host",
                    "tasks_from": "distribution",
                    "public": True,
                },
                "vars": {"ansible_facts": "{{ kind }}"},
            },
            {"ansible.builtin.debug": {"msg": "WANTS {{ __host_manager }} {{ __host_wanted | join(' ') }}."}},
        ],
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_FORKS": "10",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    for number, (*_kind, expected) in enumerate(KINDS):
        lines = "".join(part for part in re.split(r"(?=^(?:ok|fatal): )", done.stdout, flags=re.MULTILINE)
                        if part.startswith((f"ok: [kind{number}]", f"fatal: [kind{number}]")))  # fmt: skip
        told = " ".join(lines.replace(f"kind{number}", "this").split())
        wanted = f"WANTS {expected}." if expected.startswith(("apt", "dnf")) else expected
        assert wanted in told, f"{KINDS[number]}: {told[-1500:]}\n{done.stderr}"


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
