# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret shows nothing of itself, wherever it turns up; what was sealed can be compared and not read."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
import tarfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.secret import Secret, make_key, seal_text
from ansible_collections.exchange.chaos.plugins.module_utils.run import bundle
from ansible_collections.exchange.chaos.plugins.module_utils.run.folder import SEALING, RunDir
from ansible_collections.exchange.chaos.plugins.module_utils.snapshot import snapshot

from tests.unit.containers import target

CANARY = "canary-7f3a9c"


@dataclass(frozen=True)
class Login:
    user: str
    password: Secret


def test_a_secret_shows_nothing_of_itself() -> None:
    login = Login("anna", Secret(CANARY))
    shown = [
        str(login),
        repr(login),
        f"{login.password}",
        f"{login.password!r:>40}",
        str({login.password: 1}),
    ]
    shown.append(json.dumps({"password": login.password}, default=str))
    assert not any(CANARY in text for text in shown)
    assert login.password.reveal() == CANARY
    assert login.password == Secret(CANARY) != Secret("another")
    assert login.password
    assert not Secret(None)
    for write in (pickle.dumps, copy.deepcopy, asdict):
        with pytest.raises(TypeError, match="a secret is not written"):
            write(login)  # type: ignore[operator]


def test_a_seal_is_compared_and_not_read() -> None:
    key = make_key()
    assert seal_text(CANARY, key) == seal_text(CANARY, key)
    assert seal_text(CANARY, key) != seal_text("another", key)
    assert seal_text(CANARY, key) != seal_text(CANARY, make_key())
    assert CANARY not in seal_text(CANARY, key)


def test_no_snapshot_difference_or_bundle_holds_what_a_container_hides(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    key = snapshot._sealing_key(run)
    assert snapshot._sealing_key(run) == key, "one key for all snapshots of a run"
    assert run.file(SEALING).stat().st_mode & 0o777 == 0o600
    hidden = {
        "Env": [f"POSTGRES_PASSWORD={CANARY}", "EMPTY", f"URL=redis://:{CANARY}@redis/0"],
        "Cmd": ["redis-server", "--requirepass", CANARY],
        "Healthcheck": {"Test": ["CMD", "redis-cli", "-a", CANARY]},
        "Labels": {"com.docker.compose.service": "redis"},
    }
    before = snapshot._containers([replace(target(), config=hidden)], key)
    changed = {
        **hidden,
        "Env": [f"POSTGRES_PASSWORD={CANARY}-2"],
        "Cmd": ["redis-server", f"--requirepass={CANARY}"],
    }
    after = snapshot._containers([replace(target(), config=changed)], key)
    assert before == snapshot._containers([replace(target(), config=dict(hidden))], key)
    told = snapshot.compare_snapshots(
        {**before, "unchecked": {}}, {**after, "unchecked": {}}, run.read_timeline()
    )
    assert {one["what"].rpartition(".")[2] for one in told["leftovers"]} >= {"Env", "Cmd"}
    assert "POSTGRES_PASSWORD=#" in json.dumps(told)
    assert CANARY not in json.dumps([before, after, told])


def test_nothing_of_an_ended_run_holds_a_password(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for name in ("secrets.json", "sessions.json", SEALING):
        run.file(name).write_text(json.dumps({"password": CANARY, "login": {"password": CANARY}}))
    anchor = {"boottime": 1.0, "realtime": 2.0, "boot_id": "x"}
    run.drop_working_files()
    run.file("spec.json").write_text(json.dumps({"anchor": anchor, "database": {"password": CANARY}}))
    with tarfile.open(bundle.pack_bundle(run)) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            assert CANARY.encode() not in gzip.decompress(stream.read())
    assert not [
        path.name for path in tmp_path.iterdir() if path.name in ("secrets.json", "sessions.json", SEALING)
    ]
