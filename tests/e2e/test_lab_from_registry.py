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
from tests.e2e.bourse_stack import load_lab
from tests.e2e.public_registry import Registry, registry

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

HOME = Path("/var/lib/exchange-chaos-lab")


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
        lab = load_lab()
        lab.remove_pulled(HOME)
        (HOME / "pulled.json").unlink(missing_ok=True)
        volume = f"{support.PROJECT}_postgres-public"
        if support.docker("volume", "ls", "--quiet", "--filter", f"name=^{volume}$"):
            support.docker("volume", "rm", volume)


def lab_from(made: Registry) -> str:
    """Bring the exchange up from the registry's images, by their digests; the play's output."""
    variables = {
        "lab_images": "registry",
        "lab_registry": made.address,
        "__lab_public_images": made.images,
    }
    done = subprocess.run(
        [*support.command("playbooks/lab.yml"), "-e", json.dumps(variables)], cwd=support.ROOT,
        env=support.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def contradictions(one: support.Report, other: support.Report) -> list[str]:
    """Findings on which two records differ; what a busy machine kept one of them from knowing is no difference."""
    first, second = (
        {found["id"]: found for found in host["hosts"][0]["findings"]} for host in (one.record, other.record)
    )
    assert list(first) == list(second)
    return [
        f"{name}: {first[name]['verdict']}, {second[name]['verdict']}"
        for name in first
        if first[name]["verdict"] != second[name]["verdict"]
        and not any(kept_from_knowing(found[name]) for found in (first, second))
    ]


def kept_from_knowing(finding: dict[str, Any]) -> bool:
    """Whether a finding is unknown because others used the machine meanwhile, or held its load up."""
    reasons = ("others took the machine", "would not have shown")
    return finding["verdict"] == "unknown" and any(reason in str(finding["evidence"]) for reason in reasons)


def test_both_ways_to_make_the_exchange_come_to_the_same_record(public: Registry, tmp_path: Path) -> None:
    reports = {}
    for way in ("packages", "registry"):
        support.lab() if way == "packages" else lab_from(public)
        live.ready()
        (folder := tmp_path / way).mkdir()
        preflight = support.ansible("playbooks/00-preflight.yml", chaos_report_dir=str(folder))
        assert preflight.returncode == 0, preflight.stdout[-4000:]
        reports[way] = live.passed(support.EXPERIMENT, folder, **support.SHORT)
    assert contradictions(reports["packages"], reports["registry"]) == []


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
