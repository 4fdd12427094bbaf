"""An execution environment built of the example, and an experiment run from inside it against a host over SSH.

The base image is a Debian with Python and an SSH client; ansible-builder makes the context, this machine's engine
builds the image, with the wheels in the context, so that it needs no network. ansible-runner starts the playbook in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.bench import hosts
from tests.bench.machine import LABEL, build_image, run
from tests.fleet import remote

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ROOT = remote.support.ROOT
BIN = Path(sys.executable).parent
EXAMPLE = ROOT / "docs" / "examples" / "execution-environment" / "execution-environment.yml"
IMAGE = "exchange-chaos-test-ee"
#: pip comes with it: Debian's Python has no ensurepip for itself.
BASE_PACKAGES = ("python3", "python3-pip", "openssh-client", "ca-certificates")
#: What ansible-builder itself installs in the image, besides what the example and the collection name.
BUILDERS = ("bindep", "pyyaml", "packaging", "dumb-init==1.2.5")
FAST = {"chaos_baseline_s": "6", "chaos_placebo_s": "3", "database_sudden_death_outage_s": "4"}


def command(*words: str | Path, folder: Path, **environment: str) -> str:
    """Run a command in a folder to its end; its output, or all it said where it fails."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout[-6000:]}"
    return done.stdout


def build_collection(folder: Path) -> Path:
    """The collection's artifact, of the files that git knows."""
    source = folder / "source"
    tracked = command("git", "ls-files", "-z", folder=ROOT).split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    command(BIN / "ansible-galaxy", "collection", "build", "--output-path", folder, source, folder=folder)
    (artifact,) = folder.glob("exchange-chaos-*.tar.gz")
    return artifact


def describe(base: str) -> dict[str, object]:
    """The example, for a Debian of ours as the base, and for a build without any network."""
    described = dict(yaml.safe_load(EXAMPLE.read_text()))
    described["images"] = {"base_image": {"name": base}}
    described["options"] = {"package_manager_path": "/usr/bin/apt-get", "skip_pip_install": True}
    described["additional_build_steps"]["prepend_base"] = [
        f"LABEL {LABEL}={IMAGE}",
        "COPY _build/built-from /built-from",
        "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/built-from",
    ]
    described["additional_build_files"].append({"src": "built-from", "dest": "built-from"})
    return described


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The execution environment's image, gone afterwards; its base is kept."""
    folder = tmp_path_factory.mktemp("environment")
    described = describe(build_image("ee-base", BASE_PACKAGES))
    (folder / EXAMPLE.name).write_text(yaml.safe_dump(described))
    build_collection(folder)
    asked = described["dependencies"]
    wanted = [asked[part]["package_pip"] for part in ("ansible_core", "ansible_runner")]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:")
    python = ("--python-version", "3.11", "--platform", f"manylinux2014_{os.uname().machine}",
              "--platform", f"manylinux_2_28_{os.uname().machine}", "--platform",
              f"manylinux_2_34_{os.uname().machine}")  # fmt: skip
    requirements = ("--requirement", ROOT / "meta" / "ee-requirements.txt")
    command(*pip, *python, "--dest", "built-from", *requirements, *wanted, *BUILDERS, folder=folder)
    pure = ("--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.9")
    for_hosts = ("--requirement", ROOT / "roles" / "host" / "files" / "requirements.txt")
    command(*pip, *pure, "--dest", "wheels", *for_hosts, folder=folder)
    command(BIN / "ansible-builder", "create", "--file", EXAMPLE.name, "--context", "context",
            "--output-filename", "Dockerfile", folder=folder)  # fmt: skip
    try:
        command(
            "docker",
            "build",
            "--network",
            "none",
            "--tag",
            IMAGE,
            "context",
            folder=folder,
            DOCKER_BUILDKIT="0",
        )
        yield IMAGE
    finally:
        subprocess.run(["docker", "rmi", "--force", IMAGE], capture_output=True, check=False)
        stages = ("docker", "image", "prune", "--force", "--filter", f"label={LABEL}={IMAGE}")
        subprocess.run(stages, capture_output=True, check=False)


@pytest.fixture(scope="module")
def bench() -> Iterator[hosts.Bench]:
    """A remote host with the exchange on it."""
    try:
        yield remote.up({"host-1": "resilient"})
    finally:
        hosts.down()


def prepare(folder: Path, bench: hosts.Bench) -> Path:
    """What ansible-runner is given: an inventory and the key, as a controller in a container reaches the host."""
    (machine,) = bench.machines
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    entry = {
        **hosts.inventory_entry(machine),
        "ansible_host": run("docker", "inspect", "--format", address, machine.name).strip(),
        "ansible_port": 22,
    }
    del entry["ansible_ssh_private_key_file"]
    (folder / "inventory").mkdir(parents=True)
    inventory = {"exchange": {"hosts": {remote.name_of(machine): entry}}}
    (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "env").mkdir()
    (folder / "env" / "ssh_key").write_text(hosts.key().read_text())
    return folder


def test_an_experiment_is_run_from_inside_and_brings_out_record_and_page(
    image: str, bench: hosts.Bench, tmp_path: Path
) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    given = json.dumps({"chaos_report_dir": "/reports", "chaos_accept_noise": True, **FAST})
    (folder := prepare(tmp_path / "runner", bench)).joinpath("env", "extravars").write_text(given)
    said = command(
        *(BIN / "ansible-runner", "run", folder, "--playbook", "exchange.chaos.database_sudden_death"),
        *("--process-isolation", "--process-isolation-executable", "docker", "--container-image", image),
        *("--container-volume-mount", f"{reports}:/reports"),
        folder=tmp_path,
    )
    (report,) = remote.reports(reports)
    assert report.record["outcome"] == "passed", said
    assert remote.outcomes(report) == {"host-1": "passed"}
    assert set(report.record["verdicts"].values()) == {"pass"}
    page = report.stem.with_name(f"{report.stem.name}.html").read_text()
    assert report.record["run_id"] in page
    assert report.stem.with_name(f"{report.stem.name}.xml").exists()
    assert run("docker", "ps", "--all", "--quiet", "--filter", f"ancestor={image}") == ""


def test_the_image_has_the_collection_the_versions_and_the_hosts_wheels(image: str) -> None:
    def inside(*words: str) -> str:
        return run("docker", "run", "--rm", "--network", "none", image, *words)

    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert f"exchange.chaos {version}" in " ".join(inside("ansible-galaxy", "collection", "list").split())
    pinned = (ROOT / "meta" / "ee-requirements.txt").read_text().splitlines()
    frozen = inside("python3", "-m", "pip", "freeze").lower().splitlines()
    assert {line for line in pinned if line[0] != "#"} <= set(frozen)
    carried = inside("ls", "/usr/share/exchange-chaos/wheels")
    assert all(f"{name}-" in carried for name in ("docker", "jmespath", "pyroute2", "pip"))
