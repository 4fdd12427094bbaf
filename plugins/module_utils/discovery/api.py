# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the API what it says of itself: by GET alone, each with a patience, all of it with a time.

No order is sent, and nothing that an API might take for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ..common import bounds
from ..host.http_client import OPEN, Access, Client, Reply
from .order_form import (
    DOCUMENTS,
    ORDER_PATHS,
    OrderForm,
    list_readings,
    list_symbols,
    read_document,
    read_listed,
)

#: Seconds for one answer, and for all questions to one service.
_PATIENCE_S, _WHOLE_S = 2.0, 25.0
_HEALTH = (
    "/health",
    "/api/health",
    "/healthz",
    "/api/v1/health",
    "/status",
    "/actuator/health",
    "/live",
    "/",
)
_READY = ("/ready", "/readyz", "/health/ready", "/api/ready", "/readiness", "/actuator/health/readiness")
_BOOKS = (
    "/api/orderbook/{symbol}",
    "/orderbook/{symbol}",
    "/api/book/{symbol}",
    "/book/{symbol}",
    "/api/v1/orderbook/{symbol}",
)
_MARKETS = (
    "/api/market",
    "/market",
    "/api/symbols",
    "/symbols",
    "/api/instruments",
    "/instruments",
    "/api/tickers",
)
#: What an address answers that is there, though it wants more than a plain GET.
_THERE = (400, 401, 403, 405, 422)
#: What an address answers that lets in only those with a token or a key; an address that no API has; a plain request
#: on a port that speaks TLS; a certificate of an authority that is not trusted.
_CLOSED, _NOWHERE, _PLAIN_ON_TLS = (401, 403), "/exchange-chaos-nothing-is-here", 400
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_GOOD_WORDS = ("healthy", "ok", "up", "pass", "ready", "alive", "green")


@dataclass
class ApiAnswers:
    """What an API told: the form of an order, its probes, and everything that was tried in vain.

    own_way: whether a run finds this URL by itself. wants: variable → why the API lets in nobody who lacks it, or is
    not trusted. closed: it tells nothing at all before that is set. access: with what it was asked.
    """

    url: str
    form: OrderForm | None = None
    readiness: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    answers: bool = False
    own_way: bool = True
    wants: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    access: Access = OPEN

    @property
    def known(self) -> bool:
        """Return whether this is an API of orders, or what may be one and tells nobody."""
        return bool(self.form) or self.closed


class Questioner:
    """Asks one service, as long as its time lasts."""

    def __init__(self, url: str, access: Access = OPEN) -> None:
        """Prepare; nothing is connected yet."""
        self._client = Client(url, timeout=_PATIENCE_S, access=access)
        self._deadline = bounds.Deadline(_WHOLE_S)
        self.url = url
        self.tried: list[str] = []
        self.statuses: list[int] = []
        self.untrusted = False

    def ask(self, path: str) -> Reply | None:
        """Return the answer to a GET, None when there was none or time is up."""
        if self._deadline.passed:
            return None
        reply = self._client.request("GET", path)
        self.tried.append(f"GET {path}: {reply.status or reply.kind}")
        self.statuses += [reply.status] if reply.status else []
        self.untrusted = self.untrusted or _UNTRUSTED in reply.detail
        return reply if reply.status else None


def ask_api(url: str, access: Access = OPEN) -> ApiAnswers:
    """Return what the service at a URL tells of itself; one that wants TLS is asked by TLS.

    What stands in the headers of ``access`` is told to nobody who did not ask for a token or a key.
    """
    asked = _ask_by_its_protocol(url, replace(access, headers={}))
    if access.headers and "chaos_api_headers" in asked.wants:
        return _ask_by_its_protocol(url, access)
    return asked


def _ask_by_its_protocol(url: str, access: Access) -> ApiAnswers:
    if url.startswith("http://") and _refuses_plain(Questioner(url, access)):
        encrypted = "https" + url[len("http") :]
        by_tls = _ask_all(Questioner(encrypted, access), ApiAnswers(encrypted, own_way=False, access=access))
        if by_tls.answers or by_tls.closed:
            return by_tls
    return _ask_all(Questioner(url, access), ApiAnswers(url, access=access))


def _refuses_plain(questioner: Questioner) -> bool:
    """Return whether a port answers as those do that speak TLS alone: by cutting off, or by 400."""
    reply = questioner.ask(DOCUMENTS[0])
    return (
        reply.status == _PLAIN_ON_TLS if reply else not questioner.tried[-1].endswith(("refused", "timeout"))
    )


def _ask_all(questioner: Questioner, asked: ApiAnswers) -> ApiAnswers:
    """Ask for everything, and return ``asked`` with what the service tells."""
    document = None
    for path in DOCUMENTS:
        reply = questioner.ask(path)
        if reply is None and not questioner.tried[-1].endswith("timeout"):
            break  # nobody answers there at all
        document = reply.json() if reply and reply.status == 200 else None
        asked.form = read_document(document)
        if asked.form:
            asked.form.how = f"the API's own description, {path}"
            break
    if _tell_closed(questioner, asked):
        return asked
    asked.form = asked.form or _find_listed(questioner)
    _see_whether_let_in(questioner, asked)
    readings = list_readings(document)
    asked.readiness = _find_probe(questioner, _READY, readings)
    asked.health = _find_probe(questioner, _HEALTH, readings)
    asked.tried = questioner.tried
    asked.answers = bool(questioner.statuses)
    return asked


def _tell_closed(questioner: Questioner, asked: ApiAnswers) -> bool:
    """Return whether the service tells nothing of itself before a variable is set, and say in ``asked`` which."""
    if questioner.untrusted:
        asked.wants["chaos_api_ca"] = (
            f"{asked.url} has a certificate of an authority that this host does not know, or of another name"
        )
    elif questioner.statuses and set(questioner.statuses) <= set(_CLOSED):
        nowhere = questioner.ask(_NOWHERE)
        if nowhere and nowhere.status in _CLOSED:
            asked.wants["chaos_api_headers"] = f"{asked.url} answers everything with {nowhere.status}"
    asked.tried, asked.answers = questioner.tried, bool(questioner.statuses)
    asked.closed = bool(asked.wants)
    return asked.closed


def _see_whether_let_in(questioner: Questioner, asked: ApiAnswers) -> None:
    """Say in ``asked`` if who asks for orders must have a token, though others are told what the API looks like."""
    path = asked.form.path if asked.form else ""
    reply = questioner.ask(f"{path}?limit=1") if path else None
    if reply and reply.status in _CLOSED:
        asked.wants["chaos_api_headers"] = f"GET {path} was answered with {reply.status}"


def _find_listed(questioner: Questioner) -> OrderForm | None:
    """Return the form of an order from the first path at which orders are listed, or at least something is."""
    there = ""
    for path in ORDER_PATHS:
        reply = questioner.ask(f"{path}?limit=1")
        if reply and reply.status == 200 and reply.json() is not None:
            return read_listed(path, reply.json())
        if reply and reply.status in _THERE and not there:
            there = path
    return read_listed(there, None) if there else None


def _find_probe(questioner: Questioner, likely: Iterable[str], offered: Iterable[str]) -> dict[str, Any]:
    """Return path and expectation of the first path that is good now: {} where none is."""
    paths = [*likely]
    words = {path.strip("/").rpartition("/")[2] for path in paths if path != "/"}
    paths += [path for path in offered if path.rpartition("/")[2] in words and path not in paths]
    for path in paths:
        reply = questioner.ask(path)
        if reply and reply.status == 200:
            return {"path": path, "expect": {"status": 200, **_expect(reply.json())}}
    return {}


def _expect(body: Any) -> dict[str, str]:
    """Return the expression by which a health's body says that all is well, where it says so in a known word."""
    for key in ("status", "state", "health"):
        word = body.get(key) if isinstance(body, dict) else None
        if isinstance(word, str) and word.lower() in _GOOD_WORDS:
            return {"expression": f"{key} == '{word}'"}
    return {}


def find_book(url: str, symbol: str, access: Access = OPEN) -> str:
    """Return the path of the book of a symbol, "" where none of the usual ones answers."""
    questioner = Questioner(url, access)
    for path in _BOOKS:
        reply = questioner.ask(path.replace("{symbol}", quote(symbol, safe="")))
        if reply and reply.status == 200 and isinstance(reply.json(), (dict, list)):
            return path
    return ""


def find_symbols(url: str, access: Access = OPEN) -> tuple[str, list[str]]:
    """Return the first of the usual paths at which a market's symbols are listed, and these; ("", []) for none."""
    questioner = Questioner(url, access)
    for path in _MARKETS:
        reply = questioner.ask(path)
        found = list_symbols(reply.json()) if reply and reply.status == 200 else []
        if found:
            return path, found
    return "", []


def has_path(url: str, path: str, access: Access = OPEN) -> bool:
    """Return whether a service answers 200 to a GET."""
    reply = Questioner(url, access).ask(path)
    return reply is not None and reply.status == 200
