# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API that asks who comes is asked with what its owner gave, by every way of asking; and nothing shows it."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import (
    OPEN,
    Access,
    Client,
    Reply,
)
from ansible_collections.exchange.chaos.plugins.module_utils.observe.load.connections import Connections
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.kinds import (
    HttpProbe,
    ProbeAnswer,
)
from ansible_collections.exchange.chaos.plugins.module_utils.observe.probes.slow import SlowProbe

TOKEN = "Bearer of-tests-4711"


class Guarded(http.server.BaseHTTPRequestHandler):
    """Lets in who has the token."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.headers.get("Authorization") == TOKEN else 401)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``own.pem`` and ``own.key``, which nobody else trusts."""
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "own.key", "-out", "own.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module", params=["http", "https"])
def url(request: pytest.FixtureRequest, authority: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    if request.param == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority / "own.pem", authority / "own.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{request.param}://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def access(authority: Path) -> Access:
    return Access.from_data(
        {"headers": {"Authorization": TOKEN}, "authority": (authority / "own.pem").read_text()}
    )


def by_load(url: str, access: Access) -> Reply:
    connections: Connections[int] = Connections(url, timeout=3, most=1, access=access)
    connections.request("GET", "/", b"", 0)
    while True:
        for _token, reply in connections.poll(0.1):
            connections.close()
            return reply


def by_probe(url: str, access: Access) -> ProbeAnswer:
    return HttpProbe({"name": "ready", "url": f"{url}/", "timeout_s": 3}, access).sample()


def by_slow_probe(url: str, access: Access) -> ProbeAnswer:
    return SlowProbe({"name": "slow", "url": f"{url}/", "timeout_s": 3, "slow_s": 0.1}, access).sample()


def by_client(url: str, access: Access) -> Reply:
    return Client(url, timeout=3, access=access).request("GET", "/")


@pytest.mark.parametrize("ask", [by_client, by_load, by_probe, by_slow_probe])
def test_every_way_of_asking_is_let_in(ask: object, url: str, access: Access) -> None:
    assert callable(ask)
    assert ask(url, access).status == 200
    without = ask(url, OPEN)
    assert without.status == (0 if url.startswith("https") else 401)
    if url.startswith("https"):
        assert "CERTIFICATE_VERIFY_FAILED" in str(without.detail)


def test_nothing_shows_what_lets_in(access: Access) -> None:
    assert "4711" not in repr(access)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({"headers": {"Author ization": "x"}}, "chaos_api_headers has 'Author ization': a header has a name"),
        ({"headers": {"X-Key": "one\r\nX-Other: two"}}, "and a value on one line"),
        ({"headers": ["X-Key"]}, "chaos_api_headers must be a dictionary"),
    ],
)
def test_what_no_request_can_have_is_refused(kept: dict[str, object], words: str) -> None:
    with pytest.raises(ChaosError, match=words):
        Access.from_data(kept)


def test_what_is_no_authority_is_refused() -> None:
    with pytest.raises(ChaosError, match="chaos_api_ca holds no certificate"):
        Client("https://127.0.0.1:1", timeout=1, access=Access(authority="a moon of cheese"))
