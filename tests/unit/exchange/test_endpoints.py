# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a service answers as seen from the host: its published port, else its container's address."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.json_files import write_json
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.endpoints import (
    Moved,
    find_endpoint,
    find_moved,
    move_load,
    move_url,
    resolve_url,
    write_moved,
)
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import Container
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import (
    LoadSpec,
    ProbeSpec,
    Specification,
)

from tests.unit.containers import down, target

PUBLISHED = {"Ports": {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "18080"}], "9/tcp": None}}
HIDDEN = {"Networks": {"none": {"IPAddress": ""}}}


def test_a_published_port_is_taken_before_the_containers_address() -> None:
    api = target("api", network=PUBLISHED)
    assert find_endpoint([api], "api", 8080) == ("127.0.0.1", 18080)
    assert find_endpoint([api], "api", 9) == ("172.18.0.3", 9)


@pytest.mark.parametrize(
    ("bound", "reached"), [("", "127.0.0.1"), ("::", "127.0.0.1"), ("10.1.2.3", "10.1.2.3"), ("::1", "::1")]
)
def test_a_port_is_reached_where_it_is_bound(bound: str, reached: str) -> None:
    api = target("api", network={"Ports": {"80/tcp": [{"HostIp": bound, "HostPort": "81"}]}})
    assert find_endpoint([api], "api", 80) == (reached, 81)


def test_what_is_down_elsewhere_or_hidden_is_not_taken() -> None:
    targets = [down("api"), target("other"), target("api", number=2, network=HIDDEN)]
    with pytest.raises(ChaosError, match="Service api can't be reached from the host on port 80"):
        find_endpoint(targets, "api", 80)
    assert find_endpoint([*targets, target("api", number=3)], "api", 80) == ("172.18.0.3", 80)


def test_a_url_is_filled_in_only_where_there_is_none() -> None:
    api = target("api", network=PUBLISHED)
    probe = ProbeSpec.from_data(
        {"name": "ready", "service": "api", "port": "8080", "path": "/ready", "url": ""}
    )
    assert resolve_url(probe, [api]).url == "http://127.0.0.1:18080/ready"
    assert resolve_url(LoadSpec(service="api", port=8080), [api]).url == "http://127.0.0.1:18080"
    for given in (ProbeSpec(url="http://10.0.0.1/x", service="nobody", port=1), ProbeSpec(name="x")):
        assert resolve_url(given, [api]) == given


def test_an_ipv6_address_stands_in_brackets() -> None:
    bound = target("api", network={"Ports": {"80/tcp": [{"HostIp": "::1", "HostPort": "81"}]}})
    assert resolve_url(ProbeSpec.from_data({"service": "api", "port": 80}), [bound]).url == "http://[::1]:81"
    alone = target("api", network={"Networks": {"n": {"IPAddress": "", "GlobalIPv6Address": "fd00::7"}}})
    assert (
        resolve_url(ProbeSpec.from_data({"service": "api", "port": 80, "path": "/x"}), [alone]).url
        == "http://[fd00::7]:80/x"
    )


def test_a_service_in_anothers_network_answers_where_that_one_does() -> None:
    gate = target("gate", network={"Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8088"}]}})
    api = target("api", network=HIDDEN, host={"NetworkMode": f"container:{gate.id}"})
    assert find_endpoint([api, gate], "api", 80) == ("127.0.0.1", 8088)


def test_a_service_in_the_hosts_network_answers_at_the_host() -> None:
    assert find_endpoint([target("api", network=HIDDEN, host={"NetworkMode": "host"})], "api", 80) == (
        "127.0.0.1",
        80,
    )


def test_what_cannot_be_reached_says_why_and_which_variable_names_it() -> None:
    hidden = target("api", network=HIDDEN, host={"NetworkMode": "none"})
    with pytest.raises(ChaosError, match=r"network mode none.*: set chaos_api_url\.$"):
        resolve_url(ProbeSpec.from_data({"service": "api", "port": 80}), [hidden])
    with pytest.raises(ChaosError, match=r"set chaos_proxy_url\.$"):
        resolve_url(ProbeSpec.from_data({"service": "api", "port": 80, "role": "proxy"}), [hidden])
    with pytest.raises(ChaosError, match="No container of service api runs"):
        find_endpoint([down("api")], "api", 80)


def moving() -> Specification:
    """Return a specification whose load and probe were found, and one that asks where its owner says."""
    api = target("api", network=PUBLISHED)
    load = resolve_url(LoadSpec(service="api", port=8080), [api])
    probe = resolve_url(ProbeSpec(name="ready", service="api", port=8080, path="/ready?x=1"), [api])
    given = ProbeSpec(name="proxy", service="nginx", port=80, url="http://10.0.0.1/health")
    return Specification(project="lab", load=load, probes=(probe, given))


def test_what_was_found_is_found_again_and_what_the_owner_gave_stays(tmp_path: Path) -> None:
    spec, run = moving(), RunDir(tmp_path)
    write_json(run.file("spec.json"), spec.to_data())
    ready, proxy = (one.to_data() for one in run.spec.probes)
    elsewhere = target("api", network={"Ports": {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "49153"}]}})
    assert find_moved(run.spec, [elsewhere]) == {"api:8080": "127.0.0.1:49153"}
    moved = Moved(run)
    assert not moved.has_changed()
    assert moved.url_of(ready) == "http://127.0.0.1:18080/ready?x=1"
    write_moved(run, Engine([elsewhere]))  # type: ignore[arg-type]
    assert (moved.has_changed(), moved.has_changed()) == (True, False)
    assert moved.url_of(ready) == "http://127.0.0.1:49153/ready?x=1"
    assert moved.url_of(proxy) == "http://10.0.0.1/health"
    assert move_load(run.spec, Engine([elsewhere]))["url"] == "http://127.0.0.1:49153"  # type: ignore[arg-type]


def test_a_service_that_is_nowhere_is_asked_for_where_it_was() -> None:
    assert find_moved(moving(), [down("api")]) == {}
    assert move_load(moving(), Engine([down("api")]))["url"] == "http://127.0.0.1:18080"  # type: ignore[arg-type]


def test_the_address_of_ipv6_moves_in_brackets() -> None:
    bound = target("api", network={"Ports": {"8080/tcp": [{"HostIp": "::1", "HostPort": "81"}]}})
    found = find_moved(moving(), [bound])
    assert move_url(moving().probes[0].to_data(), found) == "http://[::1]:81/ready?x=1"


class Engine:
    """An engine that knows these containers."""

    def __init__(self, known: list[Container]) -> None:
        self.known = known

    def containers(self, project: str) -> list[Container]:
        return self.known
