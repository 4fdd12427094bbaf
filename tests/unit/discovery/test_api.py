# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API is asked by GET alone; servers of the tests answer as several kinds of API do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ansible_collections.exchange.chaos.plugins.module_utils.discovery import api

from tests.unit.discovery.test_order_form import openapi


@contextmanager
def serving(answers: Mapping[str, tuple[int, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Serve answers by path; yields where, and the requests that came (method and path)."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            seen.append(f"{self.command} {self.path}")
            status, body = answers.get(self.path.partition("?")[0], (404, {"detail": "Not Found"}))
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = do_PUT = handle_any  # noqa: N815 - the names are the library's

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
