# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may be touched on a host: the owner's consent, and containers that share nothing with others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host import consent

from tests.unit.containers import target

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose file the consent is")


def test_no_consent_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match="owner's consent") as told:
        consent.require_consent(tmp_path / "consent")
    assert str(tmp_path / "consent") in str(told.value)


@ROOT
def test_roots_own_word_is_consent(tmp_path: Path) -> None:
    path = tmp_path / "consent"
    path.write_text("")
    path.chmod(0o644)
    consent.require_consent(path)


@ROOT
@pytest.mark.parametrize("how", ["group", "others", "owner", "link", "folder"])
def test_what_another_could_have_written_is_none(tmp_path: Path, how: str) -> None:
    path = tmp_path / "consent"
    if how == "link":
        (tmp_path / "real").write_text("")
        path.symlink_to(tmp_path / "real")
    elif how == "folder":
        path.mkdir(mode=0o755)
    else:
        path.write_text("")
        path.chmod({"group": 0o664, "others": 0o646, "owner": 0o644}[how])
        if how == "owner":
            os.chown(path, 65534, 0)
    with pytest.raises(ChaosError, match="not root's alone"):
        consent.require_consent(path)


@ROOT
@pytest.mark.parametrize("how", ["group", "others", "owner"])
def test_nor_is_what_lies_where_another_may_move_files(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "exchange-chaos"
    folder.mkdir()
    (folder / "consent").write_text("")
    folder.chmod({"group": 0o775, "others": 0o757, "owner": 0o755}[how])
    if how == "owner":
        os.chown(folder, 65534, 0)
    with pytest.raises(ChaosError, match="folder of the consent"):
        consent.require_consent(folder / "consent")


def test_a_container_with_namespaces_of_its_own_may_be_touched() -> None:
    consent.refuse_shared(target(), set())
    consent.refuse_shared(target(host={"NetworkMode": "bridge"}), set())


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"NetworkMode": "host"}, "shares the host's network"),
        ({"NetworkMode": "container:abcdef0123456789"}, "shares the network of container abcdef012345"),
        ({"PidMode": "host"}, "shares the host's processes"),
        ({"CgroupParent": "/"}, "root cgroup"),
    ],
)
def test_what_shares_with_the_host_or_a_neighbour_is_refused(host: dict[str, str], words: str) -> None:
    with pytest.raises(ChaosError, match=words) as told:
        consent.refuse_shared(target(host=host), {"other"})
    assert "lab-postgres-1" in str(told.value)


def test_sharing_among_the_named_is_allowed() -> None:
    consent.refuse_shared(target(host={"NetworkMode": "container:abc"}), {"abc"})
