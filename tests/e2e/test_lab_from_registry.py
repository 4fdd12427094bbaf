"""The embedded exchange made of public images, pulled from a registry: the same exchange as the one from packages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import live, support
from tests.e2e.bourse_stack import load_of_role
from tests.e2e.public_registry import Registry, registry

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

HOME = Path("/var/lib/exchange-chaos-lab")
#: What a host of Red Hat's family says of itself.
RED_HAT = 'NAME="Rocky Linux"\nVERSION="9.4 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
#: Runs of 01 for each way, at most; and what a finding is that none of them could know.
RUNS, KEPT_FROM_KNOWING = 3, "unknown, for others used the machine"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of stand-ins; afterwards the exchange is the one from packages, and nothing pulled is left."""
    if os.geteuid() != 0:
        pytest.skip("the embedded exchange is set up as root")
    try:
        with registry(tmp_path_factory.mktemp("registry")) as made:
            yield made
    finally:
        support.lab()
        lab = load_of_role()
        lab.remove_pulled(HOME)
        (HOME / "pulled.json").unlink(missing_ok=True)
        volume = f"{support.PROJECT}_postgres-public"
        if support.docker("volume", "ls", "--quiet", "--filter", f"name=^{volume}$"):
            support.docker("volume", "rm", volume)


def lab_from(made: Registry, *around: str, **more: str) -> str:
    """Bring the exchange up from the registry's images, by their digests; the play's output.

    around: a command's words before it. more: variables.
    """
    variables = {
        "lab_images": "registry",
        "lab_registry": made.address,
        "__lab_public_images": made.images,
        **more,
    }
    done = subprocess.run(
        [*around, *support.command("playbooks/lab.yml"), "-e", json.dumps(variables)], cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def look_like_red_hat(folder: Path) -> list[str]:
    """Words before a command, by which it and what it starts see a Red Hat's host: nobody else does.

    Its release is another one, there is neither apt nor dpkg, and what Debian's version is stands nowhere.
    """
    release = folder / "os-release"
    release.write_text(RED_HAT)
    hidden = [
        path for path in ("/usr/bin/apt-get", "/usr/bin/dpkg", "/etc/debian_version") if os.path.exists(path)
    ]
    words = [
        f"mount --bind {release} /etc/os-release",
        *(f"mount --bind /dev/null {path}" for path in hidden),
    ]
    return ["unshare", "--mount", "sh", "-ec", f'{"; ".join(words)}; exec "$@"', "sh"]


def test_a_host_that_is_no_debian_takes_the_registry_by_itself(public: Registry, tmp_path: Path) -> None:
    """From packages to nothing but what the registry has; whatever Debian's this host has, it does not see."""
    support.lab()
    before = support.container("postgres")
    around = look_like_red_hat(tmp_path)
    seen = subprocess.run([*around, "apt-get", "--version"], capture_output=True, text=True, check=False)
    assert seen.returncode != 0
    said = lab_from(public, *around, lab_images="auto", __lab_image="exchange-chaos-lab:made-nowhere")
    assert "from public images" in said
    assert support.container("postgres") != before
    live.ready()
    image = support.docker("inspect", "--format", "{{.Config.Image}}", support.container("postgres"))
    assert image.startswith("exchange-chaos-lab-postgres:")
    preflight = support.ansible("playbooks/00-preflight.yml", chaos_trial="true")
    assert "Trial order accepted" in preflight.stdout, preflight.stdout[-4000:]


def measure(folder: Path) -> dict[str, str]:
    """Run preflight, and 01 until each of its findings is known, at most RUNS times; returns the verdicts by finding.

    What the machine's other work kept from being known in one run is taken from the next in which it is known; what is
    known twice must be known alike.
    """
    found: dict[str, str] = {}
    for number in range(RUNS):
        (run := folder / str(number)).mkdir(parents=True)
        live.ready()
        if number == 0:
            preflight = support.ansible("playbooks/00-preflight.yml", chaos_report_dir=str(run))
            assert preflight.returncode == 0, preflight.stdout[-4000:]
        findings = live.passed(support.EXPERIMENT, run, **support.SHORT).record["hosts"][0]["findings"]
        assert not found or list(found) == [one["id"] for one in findings]
        for one in findings:
            verdict = KEPT_FROM_KNOWING if was_kept_from_knowing(one) else one["verdict"]
            known = found.setdefault(one["id"], verdict)
            if known == KEPT_FROM_KNOWING:
                found[one["id"]] = verdict
            else:
                assert verdict in (known, KEPT_FROM_KNOWING), (one["id"], known, one)
        print(f"{folder.name}, run {number + 1}: {found}")
        if KEPT_FROM_KNOWING not in found.values():
            break
    return found


def was_kept_from_knowing(finding: dict[str, Any]) -> bool:
    """Whether a finding is unknown because others used the machine meanwhile, or held its load up."""
    reasons = ("others took the machine", "would not have shown")
    return finding["verdict"] == "unknown" and any(reason in str(finding["evidence"]) for reason in reasons)


def list_differences(packages: dict[str, str], registry: dict[str, str]) -> list[str]:
    """Findings whose verdicts are not the same both ways, or that one way never knew."""
    assert list(packages) == list(registry)
    return [
        f"{name}: {packages[name]} from packages, {registry[name]} from the registry"
        for name in packages
        if packages[name] != registry[name] or KEPT_FROM_KNOWING in (packages[name], registry[name])
    ]


@pytest.mark.timeout(1200)
def test_both_ways_to_make_the_exchange_come_to_the_same_record(public: Registry, tmp_path: Path) -> None:
    support.lab()
    packages = measure(tmp_path / "packages")
    lab_from(public)
    assert list_differences(packages, measure(tmp_path / "registry")) == []


def test_each_service_runs_in_its_own_image_which_was_pulled_by_its_digest(public: Registry) -> None:
    lab_from(public)
    images = {
        service: support.docker("inspect", "--format", "{{.Config.Image}}", support.container(service))
        for service in live.SERVICES
    }
    assert images["trading-api"] == images["market-simulator"]
    assert {name.split(":")[0] for name in images.values()} == {
        f"exchange-chaos-lab-{name}" for name in public.images
    }
    pulled = json.loads((HOME / "pulled.json").read_text())
    assert sorted(pulled) == sorted(
        f"{public.address}/{image['name']}@{image['digest']}" for image in public.images.values()
    )


def test_an_exchange_that_is_up_needs_nothing_and_no_registry(public: Registry) -> None:
    lab_from(public)
    again = lab_from(Registry("127.0.0.1:9", public.images))
    assert "from public images" in again
    assert "changed=0" in again or "Pull the public images" not in again


def test_a_registry_that_does_not_answer_is_one_sentence(public: Registry) -> None:
    done = support.ansible("playbooks/lab.yml", lab_images="registry", lab_registry="127.0.0.1:9/none")
    assert done.returncode != 0
    assert "The image 127.0.0.1:9/none/postgres:15-bookworm could not be pulled" in done.stdout
    assert "lab_registry names the registry or mirror to pull from" in done.stdout
