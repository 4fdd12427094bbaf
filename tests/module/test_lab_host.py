"""What the role lab decides on the host: ports, whether all is as wanted, what is missing."""

from __future__ import annotations

import fcntl
import importlib.util
import io
import json
import os
import re
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles" / "lab"
SERVICES = ["postgres", "redis", "trading-api", "market-simulator", "nginx", "order-flow-simulator"]


def load(path: Path) -> ModuleType:
    """A Python file of the role as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


lab = load(ROLE / "files" / "lab.py")
switches = load(ROLE / "files" / "image" / "exchange_lab" / "switches.py")


def container(service: str, checksum: str = "service", **state: Any) -> dict[str, Any]:
    """A container as the engine describes it, up and healthy unless told otherwise."""
    running = service != lab.STOPPED
    return {
        "Config": {"Labels": {lab.SERVICE_LABEL: service, lab.LABEL: checksum}},
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped"},
            "PortBindings": {"1/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
        },
        "State": {
            "Running": running,
            "Status": "running" if running else "created",
            "Health": {"Status": "healthy"},
            **state,
        },
    }


def whole(checksum: str = "abc") -> list[dict[str, Any]]:
    """All containers of an exchange that is up."""
    return [container(service, checksum) for service in SERVICES]


def test_ports_are_the_usual_ones_where_they_are_free() -> None:
    assert lab.choose({"api": 8080, "proxy": 80}, {}, set(), lambda port: True) == {"api": 8080, "proxy": 80}


def test_a_taken_port_is_replaced_by_the_next_free_one() -> None:
    free = lambda port: port not in (80, 10080)  # noqa: E731
    assert lab.choose({"proxy": 80}, {}, {10081}, free) == {"proxy": 10082}


def test_a_running_exchange_keeps_its_ports() -> None:
    assert lab.choose({"api": 8080}, {"api": 18080}, set(), lambda port: True) == {"api": 18080}


def test_two_services_never_get_the_same_port() -> None:
    assert lab.choose({"a": 80, "b": 10080}, {}, {80}, lambda port: True) == {"a": 10080, "b": 20080}


def test_no_free_port_is_one_sentence() -> None:
    with pytest.raises(lab.LabError, match="No free port for api: 8080"):
        lab.choose({"api": 8080}, {}, set(), lambda port: False)


def test_an_exchange_that_is_up_needs_nothing() -> None:
    assert lab.judge(whole(), SERVICES, "abc") == []


@pytest.mark.parametrize(
    ("containers", "said"),
    [
        (whole()[1:], "postgres is missing"),
        (whole("older"), "other settings are wanted now"),
        ([container("postgres", Running=False, Status="exited"), *whole()[1:]], "postgres is exited"),
        ([container("postgres", Health={"Status": "starting"}), *whole()[1:]], "postgres is starting"),
        ([*whole()[:-1], container(lab.STOPPED, "abc", Running=True)], "order-flow-simulator runs"),
    ],
)
def test_what_is_not_as_wanted_is_named(containers: list[dict[str, Any]], said: str) -> None:
    assert any(said in clause for clause in lab.judge(containers, SERVICES, "abc"))


def test_another_restart_policy_is_not_as_wanted() -> None:
    changed = whole()
    changed[0]["HostConfig"]["RestartPolicy"]["Name"] = "no"
    assert lab.judge(changed, SERVICES, "abc") == ["postgres has the restart policy 'no'"]


def test_the_build_context_has_the_files_and_what_runs_is_executable() -> None:
    with tarfile.open(fileobj=io.BytesIO(lab.context({"a/b": b"text", "start": b"#!/bin/sh\n"}))) as tar:
        assert {entry.name: entry.mode for entry in tar} == {"a/b": 0o644, "start": 0o755}


def test_a_failure_is_one_sentence() -> None:
    with pytest.raises(lab.LabError, match="must lie from 1 to 65535; lab_ports says 70000"):
        lab.choose({"api": 70000}, {}, set(), lambda port: True)
    with pytest.raises(lab.LabError, match="There is no command no-such-command on this host"):
        lab.run("no-such-command")
    with pytest.raises(lab.LabError, match="did not end within"):
        lab.run("sleep", "5", timeout=0.05)


def test_an_engine_of_somebody_else_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(lab.os, "kill", lambda pid, number: killed.append(pid))
    monkeypatch.setattr(lab, "docker", lambda *words, **options: "")
    assert lab.stop_engine(tmp_path) == []
    (tmp_path / "engine.json").write_text(json.dumps({"pid": 1, "start_time": -1}))
    assert lab.stop_engine(tmp_path) == []
    own = {"pid": 1, "start_time": lab.start_time(1)}
    (tmp_path / "engine.json").write_text(json.dumps(own))
    monkeypatch.setattr(lab, "docker", lambda *words, **options: "a-container-of-somebody")
    assert lab.stop_engine(tmp_path) == []
    assert killed == []


def test_role_and_services_know_the_same_switches() -> None:
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    assert options["lab_switches"]["choices"] == sorted(switches.SWITCHES)


def test_every_switch_is_documented() -> None:
    text = (ROLE.parents[1] / "docs" / "lab.md").read_text()
    assert [name for name in switches.SWITCHES if f"`{name}`" not in text] == []


def test_the_fragile_profile_can_recover_by_itself() -> None:
    assert switches.parse("fragile") == set(switches.FRAGILE)
    assert not {"no_reconnect", "static_upstream"} & switches.parse("fragile")
    assert switches.parse("fragile, no_retry") == {*switches.FRAGILE, "no_retry"}


def test_an_unknown_switch_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="unknown switches: typo; known are"):
        switches.parse("typo")


def test_defaults_and_argument_specs_name_the_same_variables() -> None:
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert set(specs["main"]["options"]) == set(defaults)
    assert set(specs["down"]["options"]) <= set(defaults)


def test_a_client_without_an_engine_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"docker", "docker-compose", "/usr/bin/python3"}

    def run(*words: str, timeout: float = 60) -> str:
        if words[0] not in there or words[1] in ("compose", "--host"):
            raise lab.LabError("no")
        return ""

    monkeypatch.setattr(lab, "run", run)
    monkeypatch.setattr(lab, "is_installing", lambda: False)
    monkeypatch.setattr(lab.shutil, "which", lambda name: name if name in there else None)
    assert lab.missing([])["missing"] == ["engine"]
    there.add("dockerd")
    assert lab.missing([])["missing"] == []
    there -= {"docker", "docker-compose"}
    assert lab.missing([])["missing"] == ["engine", "compose"]


def test_what_is_being_installed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [True, True]
    monkeypatch.setattr(lab, "is_installing", lambda: bool(busy) and busy.pop())
    monkeypatch.setattr(lab, "works", lambda *words: not busy)
    monkeypatch.setattr(lab, "engine_answers", lambda: False)
    monkeypatch.setattr(lab.shutil, "which", lambda name: name)
    monkeypatch.setattr(lab.time, "sleep", lambda seconds: None)
    looked = lab.missing([], wait=60)
    assert (looked["missing"], looked["installing"], looked["imageless"]) == ([], False, False)


@pytest.mark.parametrize(
    ("answers", "installing", "known", "imageless"),
    [
        (True, False, "exchange:1 base:1", False),
        (True, False, "base:1", False),
        (True, True, "other:1", True),
        (False, True, "", True),  # an engine on its way has no image
        (False, False, "", False),  # one that is down may have all of them
    ],
)
def test_an_image_is_begun_early_only_where_there_can_be_none(
    monkeypatch: pytest.MonkeyPatch, answers: bool, installing: bool, known: str, imageless: bool
) -> None:
    monkeypatch.setattr(lab, "refuse_podman", lambda: None)
    monkeypatch.setattr(lab, "works", lambda *words: True)
    monkeypatch.setattr(lab, "is_installing", lambda: installing)
    monkeypatch.setattr(lab, "engine_answers", lambda: answers)
    monkeypatch.setattr(lab, "docker", lambda *words, **more: known)
    monkeypatch.setattr(lab.shutil, "which", lambda name: name)
    assert lab.missing(["exchange:1", "base:1"])["imageless"] is imageless


@pytest.mark.skipif(
    not Path("/var/lib/dpkg").is_dir() or os.geteuid() != 0, reason="the lock of Debian's packages"
)
def test_whoever_installs_packages_is_seen_by_the_lock() -> None:
    assert not lab.is_installing()
    with Path("/var/lib/dpkg/lock-frontend").open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # as apt does
        assert lab.is_installing()
    assert not lab.is_installing()


def test_set_up_begins_to_install_what_the_role_asks_for() -> None:
    text = (ROLE.parents[1] / "tools" / "bootstrap").read_text()
    begun = re.search(r"command -v docker >/dev/null \|\| printf '%s\\n' (.+)$", text, re.M)
    assert begun
    wanted = yaml.safe_load((ROLE / "vars" / "main" / "main.yml").read_text())["__lab_packages"]
    assert begun[1].split() == [*wanted["engine"], *wanted["compose"]]


@pytest.mark.parametrize(
    ("release", "tools", "made", "way"),
    [
        ({"ID": "debian"}, {"apt-get"}, "", "packages"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, {"apt-get"}, "", "packages"),
        ({"ID": "rhel", "ID_LIKE": "fedora"}, {"docker"}, "", "registry"),
        ({"ID": "rhel", "ID_LIKE": "fedora"}, set(), "", "registry"),
        ({"ID": "rhel", "ID_LIKE": "fedora"}, {"docker"}, "f00d", "packages"),
        ({"ID": "fedora"}, {"docker", "apt-get"}, "", "registry"),
    ],
)
def test_auto_builds_from_packages_where_the_host_can_and_pulls_elsewhere(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], tools: set[str], made: str, way: str
) -> None:
    monkeypatch.setattr(lab, "os_release", lambda: release)
    monkeypatch.setattr(lab.shutil, "which", lambda name: name if name in tools else None)
    monkeypatch.setattr(lab, "engine_answers", lambda: True)
    monkeypatch.setattr(lab, "docker", lambda *words, **more: made)
    assert lab.choose_way("auto", "exchange:1") == way
    assert lab.choose_way("registry", "exchange:1") == "registry"
    assert lab.choose_way("packages", "exchange:1") == "packages"


def test_an_image_is_asked_for_by_its_digest_where_that_is_known() -> None:
    image = {"name": "redis", "tag": "7", "digest": ""}
    assert lab.reference_of("mirror.example.com/hub/", image) == "mirror.example.com/hub/redis:7"
    assert (
        lab.reference_of("docker.io/library", {**image, "digest": "sha256:ab"})
        == "docker.io/library/redis@sha256:ab"
    )


def test_every_digest_of_the_public_images_is_one_or_is_left_out() -> None:
    images = yaml.safe_load((ROLE / "vars" / "main" / "images.yml").read_text())["__lab_public_images"]
    assert set(images) == {path.name for path in (ROLE / "files" / "public").iterdir()}
    for image in images.values():
        assert set(image) == {"name", "tag", "digest"}
        assert isinstance(image["tag"], str)
        assert image["digest"] == "" or re.fullmatch(r"sha256:[0-9a-f]{64}", image["digest"])


def test_only_what_was_not_here_is_pulled_and_taken_away_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def docker(*words: str, **more: float) -> str:
        asked.append(words)
        return "arm64\n"

    monkeypatch.setattr(lab, "docker", docker)
    monkeypatch.setattr(lab, "is_here", lambda reference: reference == "r/a:1")
    image = {"tag": "1", "digest": ""}
    done = lab.pull("r", {"one": {**image, "name": "a"}, "two": {**image, "name": "b"}}, str(tmp_path))
    assert done == {"changed": True, "pulled": {"one": "r/a:1", "two": "r/b:1"}, "machine": "aarch64"}
    assert [words for words in asked if words[0] == "pull"] == [("pull", "--quiet", "r/b:1")]
    removed: list[str] = []
    monkeypatch.setattr(lab, "works", lambda *words: removed.append(words[-1]) is None)
    assert lab.remove_pulled(tmp_path) == ["image r/b:1"]
    assert removed == ["r/b:1"]


def test_containers_of_the_other_way_go_and_older_ones_of_this_way_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = [
        {"Name": f"/{name}", "Config": {"Image": image}}
        for name, image in {"a": "exchange-chaos-lab:old", "b": "exchange-chaos-lab-redis:new"}.items()
    ]
    removed: list[str] = []
    monkeypatch.setattr(lab, "inspect", lambda *filters: there)
    monkeypatch.setattr(lab, "docker", lambda *words: removed.append(words[-1]))
    assert lab.clear(["exchange-chaos-lab:new"]) == ["b"]
    assert lab.clear(["exchange-chaos-lab:new", "exchange-chaos-lab-redis:new"]) == []
    assert removed == ["b"]


answers = load(ROLE / "files" / "image" / "exchange_lab" / "answers.py")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_without_curl_asks_for_200(status: int, healthy: bool) -> None:
    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/ready" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name is the base class's)
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert answers.answers(f"http://127.0.0.1:{server.server_port}/ready") is healthy
