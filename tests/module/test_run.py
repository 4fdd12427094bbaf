# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a run: whatever is wrong is said in one clear sentence, and nothing was changed by finding out."""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import AS_ROOT, ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host import consent
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import opening
from ansible_collections.exchange.chaos.plugins.module_utils.run import processes
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import snapshot
from ansible_collections.exchange.chaos.plugins.plugin_utils.transport import runtime

from tests.module import core_support
from tests.module.core_support import LISTEN, Host, Project, sentence, wait_for

pytestmark = [
    pytest.mark.skipif(bool(core_support.missing()), reason=core_support.missing()),
    pytest.mark.timeout(120),
]
RUN = "exp-01-core"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with core_support.project() as made:
        made.up("store", LISTEN)
        yield made


@pytest.fixture
def host(tmp_path: Path, project: Project) -> Iterator[Host]:
    """A host whose one container stays for all tests here: none of them may touch it."""
    made = Host(project, tmp_path / "state")
    store = project.client.containers.get(f"{project.name}-store-1")
    before = (store.attrs["State"]["Pid"], store.attrs["State"]["StartedAt"], store.attrs["HostConfig"])
    yield made
    store.reload()
    assert (
        store.attrs["State"]["Pid"],
        store.attrs["State"]["StartedAt"],
        store.attrs["HostConfig"],
    ) == before
    made.clear()
    for container in project.client.containers.list(all=True, filters={"name": project.name}):
        if container.id != store.id:
            container.remove(force=True)


def opened(host: Host, *, check: bool = False, **changes: Any) -> dict[str, Any]:
    """Call module ``run`` on this host; what concerns the module itself is named with a leading underscore."""
    mine = {key[1:]: changes.pop(key) for key in list(changes) if key.startswith("_")}
    arguments = {
        "run_id": RUN,
        "spec": host.spec(**changes),
        "runtime": str(runtime.build_archive()),
        "remote": False,
    }
    environment, prefix = mine.pop("environment", None), mine.pop("prefix", ())
    return host.module("run", check=check, environment=environment, prefix=prefix, **{**arguments, **mine})


def refused(host: Host, **changes: Any) -> str:
    """Return the one sentence with which a run is refused, having seen that nothing was made."""
    text = sentence(opened(host, **changes))
    assert not host.state_dir.exists()
    return text


def skipped(host: Host, **changes: Any) -> str:
    """Return the sentence with which a run is skipped, having seen that nothing was made."""
    found = opened(host, **changes)
    assert not found.get("failed")
    assert found["changed"] is False
    assert not host.state_dir.exists()
    assert "\n" not in found["skipped_reason"]
    assert [line["text"] for line in found["chaos_lines"]][-1] == f"Skipped: {found['skipped_reason']}"
    return str(found["skipped_reason"])


def test_a_project_that_is_not_there(host: Host) -> None:
    text = refused(host, project="no-such-exchange")
    assert "There is no compose project no-such-exchange on this host" in text
    assert host.project.name in text, "it names those that are there"
    assert text.endswith("set chaos_project.")


def test_a_service_that_is_not_there_though_a_container_of_that_name_is(host: Host) -> None:
    decoy = host.project.up("redis", project=f"{host.project.name}-elsewhere")
    services = {"database": "store", "cache": "redis"}
    text = refused(host, services=services, needs=["database", "cache"])
    assert f"Project {host.project.name} has no service redis (it has: store)" in text
    assert "outside the project is never touched" in text
    decoy.reload()
    assert decoy.attrs["State"]["Running"]
    assert decoy.attrs["RestartCount"] == 0


def test_a_service_that_is_down(host: Host) -> None:
    host.project.up("api").stop()
    text = refused(host, needs=["database", "api"])
    assert f"Service api of project {host.project.name} is exited, but must run" in text
    assert re.search(r"docker start \S+", text)


def test_a_service_that_is_unhealthy(host: Host) -> None:
    check = {"test": ["CMD", "/bin/busybox", "false"], "interval": 200_000_000, "retries": 1}
    api = host.project.up("api", healthcheck=check)

    def sick() -> bool:
        api.reload()
        return bool(api.attrs["State"]["Health"]["Status"] == "unhealthy")

    wait_for(sick)
    assert f"Service api of project {host.project.name} is unhealthy" in refused(
        host, needs=["database", "api"]
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"network_mode": "host"}, "shares the host's network"),
        ({"pid_mode": "host"}, "shares the host's processes"),
    ],
)
def test_a_target_that_shares_with_the_host(host: Host, more: dict[str, Any], words: str) -> None:
    host.project.up("api", **more)
    faults = [{"id": "crash", "kind": "kill", "target": "api", "hold_s": 0, "window_s": 5}]
    text = refused(host, faults=faults)
    assert words in text
    assert f"{host.project.name}-api-1" in text


def test_a_target_in_a_strangers_network(host: Host) -> None:
    stranger = host.project.up("stranger", project="")
    host.project.up("api", network_mode=f"container:{stranger.id}")
    text = refused(host, needs=["database", "api"])
    assert f"shares the network of container {stranger.id[:12]}, which is not part of this experiment" in text


def fault(**changes: Any) -> list[dict[str, Any]]:
    return [{"id": "outage", "kind": "kill", "target": "store", "hold_s": 5, "window_s": 5, **changes}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"faults": fault(window_s=-5)}, "chaos_faults[0].window_s is -5; it must be a number above 0"),
        ({"faults": fault(window_s=1e9)}, "chaos_faults[0].window_s is 1000000000.0; it must be"),
        ({"faults": fault(hold_s=-5)}, "chaos_faults[0].hold_s is -5; it must be a number from 0"),
        ({"faults": fault(ttl_s=-1)}, "chaos_faults[0].ttl_s is -1; it must be a number above 0"),
        ({"faults": fault(ttl_s="soon")}, "chaos_faults[0].ttl_s is 'soon'; it must be a number"),
        ({"faults": fault(ttl_s=1)}, "less than its window"),
        ({"faults": fault(kind="explode")}, "is of kind 'explode'"),
        ({"faults": fault(replicas="many")}, "replicas is 'many'"),
        ({"project": "../../etc"}, "chaos_project is '../../etc'"),
        (
            {"windows": {"baseline_s": "long", "steady_s": 1, "recovery_timeout_s": 5}},
            "chaos_baseline_s is 'long'; it must be a number",
        ),
    ],
)
def test_a_senseless_number_or_word(host: Host, changes: dict[str, Any], words: str) -> None:
    text = refused(host, **changes)
    assert text.startswith(words) or words in text
    assert " more: " not in text, "one sentence for one mistake"


@pytest.mark.parametrize("rate", [-10, 0, 1e6, "fast"])
def test_a_senseless_rate(host: Host, rate: Any) -> None:
    said = refused(host, load={**host.spec()["load"], "rate": rate})
    assert said.startswith(("load.rate ", "chaos_rate "))


def test_a_run_id_that_is_a_path(host: Host) -> None:
    assert "is no run id" in refused(host, _run_id="../../etc/passwd")


def test_a_project_that_another_run_holds(host: Host) -> None:
    run = host.open("exp-01-other")
    text = sentence(opened(host))
    assert f"Project {host.project.name} on this host is taken by run exp-01-other of " in text
    assert " s old; wait" in text
    assert [path.name for path in (host.state_dir / "runs").iterdir()] == ["exp-01-other"]
    assert run.file("spec.json").exists()
    # and whoever comes between the look and the lock is held off by the lock itself
    with pytest.raises(ChaosError, match="is taken by run exp-01-other"):
        opening.create_run(host.state, RUN, Specification.read(host.spec()), runtime.build_archive(), Lines())
    assert [path.name for path in (host.state_dir / "runs").iterdir()] == ["exp-01-other"]
    assert [path.name for path in (host.state_dir / "locks").iterdir()] == [f"{host.project.name}.json"]


def test_an_engine_elsewhere_and_no_engine(host: Host) -> None:
    text = refused(host, _environment={"DOCKER_HOST": "tcp://10.255.0.1:2375"})
    assert "DOCKER_HOST is tcp://10.255.0.1:2375, another machine's engine" in text
    text = skipped(host, _environment={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert "No Docker engine answers on this host" in text


class Podman(BaseHTTPRequestHandler):
    """Answers as Podman's socket does."""

    def do_GET(self) -> None:
        body = json.dumps(
            {"ApiVersion": "1.41", "Version": "4.3.1", "Components": [{"Name": "Podman Engine"}]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "here"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name is the base class's)
        pass


def test_podmans_socket(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "podman.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Podman) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            text = refused(host, _environment={"DOCKER_HOST": f"unix://{path}"})
        finally:
            server.shutdown()
    assert text.startswith(
        f"The socket {path} belongs to Podman, and experiments work with a Docker engine alone"
    )


def test_a_remote_host_without_its_owners_consent(host: Host) -> None:
    if consent.CONSENT.exists():
        pytest.skip("somebody gave consent on this very machine")
    text = refused(host, _remote=True)
    assert "owner's consent, /etc/exchange-chaos/consent, is missing" in text
    assert not consent.CONSENT.parent.exists()


def test_a_disk_without_room(host: Host, tmp_path: Path) -> None:
    with core_support.small_disk(tmp_path / "small", "2m") as folder:
        text = sentence(opened(host, _state_dir=str(folder / "state")))
        assert list(folder.iterdir()) == []
    assert "MB are free under" in text
    assert str(folder) in text
    assert "500 MB are needed" in text


def unprivileged(folder: Path) -> list[str]:
    """Return the words that run a command as nobody, who may use the engine's socket."""
    os.chown(folder, 65534, 65534)
    group = os.stat("/var/run/docker.sock").st_gid
    return ["setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups"]


@pytest.mark.full
def test_no_root_where_it_is_needed(host: Host) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    nobody_reads = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-r", __file__]
    if subprocess.run(nobody_reads, check=False).returncode != 0:
        pytest.skip("nobody but root can read this checkout")
    home = Path(tempfile.mkdtemp(prefix="exchange-chaos-test-"))
    try:
        prefix = unprivileged(home)
        nobody: dict[str, Any] = {
            "_prefix": prefix,
            "_state_dir": str(home / "state"),
            "_environment": {"HOME": str(home)},
        }
        asked = [
            {"id": "crash", "kind": "kill", "mode": "process", "target": "store", "hold_s": 0, "window_s": 5}
        ]
        text = skipped(host, faults=asked, **nobody)
        assert text == f"Fault crash sends SIGKILL from the host, which needs root: {AS_ROOT}."
        assert not (home / "state").exists()
        # left to choose, it goes through the engine, and says what cannot be judged then
        asked[0]["mode"] = "auto"
        found = opened(host, check=True, faults=asked, **nobody)
        assert found["plan"][0].startswith("crash: kill through the engine")
        assert any("self-healing can't be judged" in line["text"] for line in found["chaos_lines"])
    finally:
        shutil.rmtree(home)


def test_check_mode_makes_nothing_and_plans_what_the_modules_will_do(host: Host) -> None:
    found = opened(host, check=True)
    assert found["changed"] is True
    assert not host.state_dir.exists()
    assert set(found) >= {"plan", "chaos_lines", "chaos_bpf", "skipped_reason"}
    crash = host.kill(check=True, mode="process")["plan"]
    outage = host.kill(check=True, fault="outage", mode="engine", hold=True)["plan"]
    assert found["plan"] == [f"crash: {crash[0]}", f"outage: {outage[0]}"]
    assert not host.state_dir.exists()


def test_an_opening_that_fails_half_way_leaves_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise ChaosError("It broke.")

    steps: list[tuple[Any, str]] = [(snapshot, "take_snapshot"), (processes, "start_processes")]
    for owner, name in steps:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, breaks)
            with pytest.raises(ChaosError, match=r"It broke\."):
                host.open()
        assert not host.state_dir.exists(), name
    with pytest.raises(ChaosError, match="No such file"):
        opening.create_run(
            host.state, RUN, Specification.read(host.spec()), host.state_dir / "no-runtime", Lines()
        )
    assert not host.state_dir.exists()

    # the watchdogs are up already when the last process fails
    start: Callable[..., Any] = processes.start_processes

    def last(run: Any, *commands: str) -> None:
        start(run, *(command for command in commands if command != "events"))
        breaks()

    with monkeypatch.context() as patch:
        patch.setattr(processes, "start_processes", last)
        with pytest.raises(ChaosError, match=r"It broke\."):
            host.open()
    wait_for(lambda: not host.processes())
    assert not host.state_dir.exists()


@pytest.mark.full
def test_a_run_that_is_open_is_not_opened_twice_and_a_record_is_removed_once(host: Host) -> None:
    run = host.open()
    began = run.file("spec.json").stat().st_mtime_ns
    assert opened(host)["changed"] is False
    assert run.file("spec.json").stat().st_mtime_ns == began
    text = sentence(host.module("run", run_id=RUN, state="absent"))
    assert f"Run {RUN} is still under way" in text
    recorded = host.module("record", run_id=RUN)
    assert (recorded["changed"], recorded["host_record"]["outcome"]) == (True, "invalid")
    assert recorded["host_record"]["leftovers"] == []
    assert recorded["host_record"]["verdicts"]["restored"] == "pass"
    again = host.module("record", run_id=RUN)
    assert (again["changed"], again["host_record"]) == (False, recorded["host_record"])
    assert not host.processes()
    assert host.module("run", check=True, run_id=RUN, state="absent")["changed"] is True
    assert host.module("run", run_id=RUN, state="absent")["changed"] is True
    assert not host.state_dir.exists()
    assert host.module("run", run_id=RUN, state="absent")["changed"] is False
    text = sentence(host.module("record", run_id=RUN))
    assert f"neither a run nor a record {RUN}" in text
