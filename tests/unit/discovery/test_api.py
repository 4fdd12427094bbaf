# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API is asked by GET alone; servers of the tests answer as several kinds of API do."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.discovery import api
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.order_form import DOCUMENTS
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import Access

from tests.shapes.certificates import make_certificates
from tests.unit.discovery.test_order_form import openapi


@contextmanager
def serving(
    answers: Mapping[str, tuple[int, Any]], *, tls: Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Serve answers by path; yields where, and the requests that came (method and path, X-Key if there was one).

    ``*``: of all other paths; ``X-Key``: to who has that header. tls: a folder with a certificate.
    """
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            key = "X-Key" if self.headers.get("X-Key") else ""
            seen.append(f"{self.command} {self.path} {key}".strip())
            other = answers.get("*", (404, {"detail": "Not Found"}))
            status, body = answers.get(key) or answers.get(self.path.partition("?")[0], other)
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = do_PUT = handle_any  # noqa: N815 - the names are the library's

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_fastapi_describes_itself() -> None:
    answers = {"/openapi.json": (200, openapi()), "/trade/v2/health": (200, {"status": "ok"})}
    with serving(answers) as (url, seen):
        found = api.ask_api(url)
    assert found.form is not None
    assert found.form.path == "/trade/v2/orders"
    assert found.form.how == "the API's own description, /openapi.json"
    assert found.health == {
        "path": "/trade/v2/health",
        "expect": {"status": 200, "expression": "status == 'ok'"},
    }
    assert all(one.startswith("GET ") for one in seen)


def test_express_lists_its_orders_and_is_sent_none() -> None:
    answers = {
        "/api/v1/orders": (200, {"orders": [{"id": 1, "userId": 2, "qty": 1, "px": "3", "side": "buy"}]}),
        "/healthz": (200, b"OK"),
        "/readyz": (503, b"no"),
    }
    with serving(answers) as (url, seen):
        found = api.ask_api(url)
    assert found.form is not None
    assert (found.form.path, found.form.fields["user"], found.form.fields["price"]) == (
        "/api/v1/orders",
        "userId",
        "px",
    )
    assert (found.health, found.readiness) == ({"path": "/healthz", "expect": {"status": 200}}, {})
    assert all(one.startswith("GET ") for one in seen)
    assert "GET /readyz: 503" in found.tried


def test_an_address_that_wants_a_login_is_there() -> None:
    with serving({"/orders": (401, {})}) as (url, _seen):
        found = api.ask_api(url)
    assert found.form is not None
    assert found.form.path == "/orders"


def test_who_answers_everything_with_401_tells_nothing_and_a_token_only_to_it() -> None:
    """That every path is there is no news where every path is; the token goes nowhere else."""
    access = Access.from_data({"headers": {"X-Key": "k-4711"}})
    with serving({"*": (401, {})}) as (url, _seen):
        found = api.ask_api(url)
    assert (found.form, found.closed, list(found.wants)) == (None, True, ["chaos_api_headers"])
    with serving({"*": (401, {}), "X-Key": (200, [])}) as (url, seen):
        opened = api.ask_api(url, access)
    assert (opened.closed, opened.wants, opened.access.headers) == (False, {}, access.headers)
    assert opened.form is not None
    with serving({"/orders": (200, [])}) as (url, seen):
        assert api.ask_api(url, access).access.headers == {}
    assert not [one for one in seen if one.endswith("X-Key")]


def test_who_keeps_its_description_alone_from_strangers_is_not_closed() -> None:
    answers: dict[str, tuple[int, Any]] = {path: (401, {}) for path in DOCUMENTS}
    with serving({**answers, "/orders": (200, [])}) as (url, _seen):
        found = api.ask_api(url)
    assert (found.closed, found.wants) == (False, {})
    assert found.form is not None


def test_orders_that_are_kept_from_strangers_are_told_from_a_closed_api() -> None:
    answers = {"/openapi.json": (200, openapi()), "/trade/v2/orders": (403, {}), "/health": (200, {})}
    with serving(answers) as (url, _seen):
        found = api.ask_api(url)
    assert (found.closed, list(found.wants)) == (False, ["chaos_api_headers"])
    assert found.form is not None
    assert found.health["path"] == "/health"


def test_a_port_that_speaks_tls_alone_is_asked_by_tls(tmp_path: Path) -> None:
    """With its authority it is let in; without it, that is what it wants."""
    make_certificates(tmp_path)
    authority = (tmp_path / "ca.pem").read_text()
    with serving({"/orders": (200, [])}, tls=tmp_path) as (url, _seen):
        found = api.ask_api(url, Access.from_data({"authority": authority}))
        unknown = api.ask_api(url)
    assert found.form is not None
    assert (found.url, found.own_way) == (url.replace("http:", "https:"), False)
    assert (unknown.closed, list(unknown.wants), unknown.url) == (True, ["chaos_api_ca"], found.url)


def test_what_is_no_api_has_no_form() -> None:
    with serving({"/": (200, b"<html>")}) as (url, _seen):
        found = api.ask_api(url)
    assert found.form is None
    assert found.answers
    assert api.ask_api(url).answers is False


def test_endless_nesting_and_a_huge_answer_are_no_description() -> None:
    answers = {"/openapi.json": (200, b"[" * 100_000), "/swagger.json": (200, b'"' + b"x" * (2 << 20) + b'"')}
    with serving(answers) as (url, _seen):
        assert api.ask_api(url).form is None


def test_the_book_and_the_market() -> None:
    answers = {"/orderbook/A%2FB": (200, {}), "/symbols": (200, ["A/B"])}
    with serving(answers) as (url, _seen):
        assert api.find_book(url, "A/B") == "/orderbook/{symbol}"
        assert api.find_book(url, "C") == ""
        assert api.find_symbols(url) == ("/symbols", ["A/B"])
