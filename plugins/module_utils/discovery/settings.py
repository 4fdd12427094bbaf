# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found, as the variables of an inventory: each with its value, how it was found, what is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from ..exchange.orders_table import Catalogue, OrdersTable, Recent, list_waiting_words, write_lookups
from .api import ApiAnswers
from .facts import ProjectFacts
from .links import OUTSIDE
from .order_form import ANY_ID, ERROR, OrderForm
from .parts import Parts

#: The parts an exchange must have, and those it may have.
NEEDED = ("database", "cache", "api", "proxy")
OPTIONAL = ("simulator", "order_flow")
#: Where a part listens of which nothing was found.
_USUAL = {"database": 5432, "cache": 6379, "api": 8080, "proxy": 80}
#: How the values of these variables stand within others.
USER, SYMBOL = "{{ chaos_user_id }}", "{{ chaos_symbol }}"
#: Decimals of a price that the numbers of orders need at least.
_DECIMALS = (5, 8)
_LIMIT = re.compile(r"limit|lmt", re.IGNORECASE)
_SELL = re.compile(r"sell|ask|short|^s$|^a$", re.IGNORECASE)
_BUY = re.compile(r"buy|bid|long|^b$", re.IGNORECASE)
#: Of how an order looks, what takes the table's columns to be known.
_TOLD_BY_STORE = ("chaos_order", "chaos_order_side", "chaos_order_price")
_OF_ORDERS = ("side", "price", "accept", "id", "error", "cancel", "book")
_OURS = re.compile(r"chaos|test|demo|sandbox|resilien", re.IGNORECASE)


@dataclass
class Setting:
    """One variable. ``how``: of the whole value; ``parts``: of its keys; ``missing``: key (or "") → what was tried.

    ``guessed``: it exists, and whether it may be used is for a person to say. ``after``: the variable that has to be
    set before this one can be found.
    """

    variable: str
    value: Any = None
    how: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    guessed: bool = False
    after: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return it as data."""
        return asdict(self)


@dataclass
class DatabaseLogin:
    """How the database is asked: its name and user, and where these were found; ``why`` it could not be asked.

    wants_password: it would be told more with a password. password_given: it was asked with one.
    """

    name: str = ""
    user: str = ""
    how: str = ""
    why: str = ""
    wants_password: bool = False
    password_given: bool = False


@dataclass
class Stored:
    """What the database told: its catalogue, the table of orders, the latest of them, a user and a symbol.

    alike: that table, and those that look as much like it.
    """

    login: DatabaseLogin = field(default_factory=DatabaseLogin)
    catalogue: Catalogue = field(default_factory=Catalogue)
    orders: OrdersTable | None = None
    recent: Recent = field(default_factory=Recent)
    user: str = ""
    user_how: str = ""
    symbol: str = ""
    symbol_how: str = ""
    guessed: set[str] = field(default_factory=set)
    alike: Sequence[OrdersTable] = ()

    def hold_trader(self, user: str, symbol: str, how: str) -> None:
        """Take the user and the symbol that are known already; an empty one is not."""
        if user:
            self.user, self.user_how = user, how
        if symbol:
            self.symbol, self.symbol_how = symbol, how


def list_logins(project: ProjectFacts, parts: Parts) -> list[DatabaseLogin]:
    """Return the ways to log in to the database, the likeliest first: what the API does, then what environments say."""
    store, api = parts.service_of("database"), parts.service_of("api")
    if not store:
        return []
    own = {address for one in project.list_of(api) for address in one.addresses}
    sessions = [session for one in project.list_of(store) for session in one.sessions]
    found: list[DatabaseLogin] = [
        DatabaseLogin(
            one.database, one.user, f"PostgreSQL's own sessions: {_of(api)} is connected as this user"
        )
        for one in sessions
        if one.address in own
    ]
    for service in (store, api):
        for one in project.list_of(service):
            known = one.environment
            for name in known.databases:
                for user in known.users or ():
                    how = f"{name.variable} and {user.variable} in the environment of {service}"
                    found.append(DatabaseLogin(name.value, user.value, how))
            for user in known.users:
                how = f"{user.variable} in the environment of {service}; its database has the same name by default"
                found.append(DatabaseLogin(user.value, user.value, how))
    found += [DatabaseLogin(one.database, one.user, "PostgreSQL's own sessions") for one in sessions]
    found.append(DatabaseLogin("postgres", "postgres", "PostgreSQL's defaults"))
    first: dict[tuple[str, str], DatabaseLogin] = {}
    for login in found:
        first.setdefault((login.name, login.user), login)
    return list(first.values())


def _of(service: str) -> str:
    return service or "a service"


def choose_trader(stored: Stored) -> None:
    """Fill in a user and a symbol that exist, from the latest orders: one for tests if there is any."""
    recent = stored.recent
    if not stored.user:
        users = recent.values_of("user")
        if users:
            stored.user = users[0]
            stored.user_how = (
                "who placed most of the latest orders; name one of yours, who may trade for a test"
            )
            stored.guessed.add("chaos_user_id")
    if stored.symbol:
        return
    own = [one for one in recent.values_of("symbol", user=stored.user) if stored.user]
    every = recent.values_of("symbol")
    for found, how in (
        (
            [one for one in [*own, *every] if _OURS.search(one)],
            "a symbol whose name says that it is for tests",
        ),
        (own, "what this user trades most; name one that is yours alone"),
        (every, "what is traded most; name one that is yours alone"),
    ):
        if found:
            stored.symbol, stored.symbol_how = found[0], f"{how} (of the latest {len(recent.rows)} orders)"
            if not _OURS.search(found[0]):
                stored.guessed.add("chaos_symbol")
            return


def choose_listed(stored: Stored, symbols: Sequence[str], how: str) -> None:
    """Take one of the symbols that a market lists, one for tests if there is any."""
    ours = [one for one in symbols if _OURS.search(one)]
    stored.symbol = (ours or list(symbols))[0]
    if not ours:
        stored.guessed.add("chaos_symbol")
    stored.symbol_how = (
        f"{how}; {'its name says that it is for tests' if ours else 'name one that is yours alone'}"
    )


def build_settings(
    project: ProjectFacts, parts: Parts, stored: Stored, asked: ApiAnswers | None, ports: Mapping[str, str]
) -> list[Setting]:
    """Return the variables of an inventory for a project. ``ports``: how a port was found, where it was asked for."""
    found = [
        Setting("chaos_project", project.name, "docker compose ls"),
        _list_services(parts),
        _list_ports(project, parts, ports),
    ]
    external = _find_external(parts)
    found += [external] if external else []
    found.append(_describe_url(project, parts, asked))
    found += _list_wants(project, parts, asked)
    form = asked.form if asked else None
    found.append(_describe_database(stored, form, _name_secrets(project, parts, ("database", "api"))))
    found.append(
        _plain(
            "chaos_user_id", stored.user, stored.user_how, "a user in orders or in what they refer to", stored
        )
    )
    found.append(
        _plain(
            "chaos_symbol", stored.symbol, stored.symbol_how, "a symbol in orders, or a table of them", stored
        )
    )
    found += _describe_orders(stored, form, asked)
    found += _describe_probes(asked)
    return _leave_out(found, stored, asked)


def _list_wants(project: ProjectFacts, parts: Parts, asked: ApiAnswers | None) -> list[Setting]:
    """Return what the API wants before it tells of itself or takes orders: a secret is named by where it may be."""
    found = []
    for variable, why in (asked.wants if asked else {}).items():
        then = "a file on the controller with the authority that it is of"
        if variable == "chaos_api_headers":
            where = _name_secrets(project, parts, ("api", "proxy"))
            then = f"a header with the token or key that it wants, such as Authorization{where}"
        found.append(Setting(variable, missing={"": f"{why}; {then}"}))
    return found


def _name_secrets(project: ProjectFacts, parts: Parts, roles: Sequence[str]) -> str:
    """Return which variables of services' environments look like a secret, in words; never what they hold."""
    services = list(dict.fromkeys(parts.service_of(role) for role in roles if parts.service_of(role)))
    met = [
        f"{', '.join(names)} of {service}"
        for service in services
        for names in [sorted({name for one in project.list_of(service) for name in one.environment.secrets})]
        if names
    ]
    return f"; environments hold {' and '.join(met)}" if met else ""


def _leave_out(found: Sequence[Setting], stored: Stored, asked: ApiAnswers | None) -> list[Setting]:
    """Leave out what cannot be known before a secret is set: a run finds it by itself, once it is."""
    after: dict[str, str] = {}
    if asked and asked.closed:
        variable = next(iter(asked.wants))
        after.update({one.variable: variable for one in found if one.variable.startswith("chaos_order")})
        after.update({"chaos_readiness": variable, "chaos_health": variable, "chaos_symbol": variable})
    if stored.login.wants_password:
        password = "chaos_database.password"  # noqa: S105 - the name of a variable
        after.update(dict.fromkeys((*_TOLD_BY_STORE, "chaos_user_id", "chaos_symbol"), password))
    return [
        Setting(one.variable, after=after[one.variable])
        if one.variable in after and (one.missing or one.variable not in ("chaos_user_id", "chaos_symbol"))
        else one
        for one in found
    ]


def _list_services(parts: Parts) -> Setting:
    found = Setting("chaos_services", {})
    for role in (*NEEDED, *OPTIONAL):
        if role in parts.found:
            found.value[role] = parts.found[role].service
            found.parts[role] = parts.found[role].how
        elif role in NEEDED:
            found.missing[role] = parts.missing.get(role, "nothing like it was found")
    return found


def _list_ports(project: ProjectFacts, parts: Parts, ports: Mapping[str, str]) -> Setting:
    found = Setting("chaos_ports", {}, "inside the containers")
    for role in NEEDED:
        part = parts.found.get(role)
        if part and part.port:
            published = project.published_of(part.service, part.port)
            out = (
                f"published at {published}"
                if published
                else "not published; reached by the container's address"
            )
            found.value[role] = part.port
            found.parts[role] = f"{ports.get(role) or 'it listens there (the kernel)'}; {out}"
        elif part:
            found.missing[role] = (
                f"no container of {part.service} listens on a TCP port that others can reach"
            )
        else:
            found.value[role] = _USUAL[role]
            found.parts[role] = "the usual one: its service is to be filled in above"
    return found


def _find_external(parts: Parts) -> Setting | None:
    """Return where a store lives that is none of the project's, by the connections that leave it."""
    found = Setting("chaos_external", {})
    for role, port in (("database", 5432), ("cache", 6379)):
        away = [link for link in parts.links if link.server == OUTSIDE and link.port == port]
        if role not in parts.found and away:
            found.value[role] = {"address": away[0].address, "port": port}
            found.parts[role] = f"{away[0].client} is connected to it (the kernel's table)"
    return found if found.value else None


def _describe_url(project: ProjectFacts, parts: Parts, asked: ApiAnswers | None) -> Setting:
    if asked is None:
        tried = parts.missing.get("api", "the API runs nowhere")
        return Setting("chaos_api_url", missing={"": f"no API was asked: {tried}"})
    if not asked.own_way and asked.known:
        how = "it answers there; left empty, a run asks where its port is published, or its IPv4 address, by plain HTTP"
        return Setting("chaos_api_url", asked.url, how)
    if asked.answers:
        return Setting("chaos_api_url", "", f"empty: found by itself, at {asked.url} now, where it answers")
    return Setting(
        "chaos_api_url", missing={"": f"{asked.url} gave no answer ({'; '.join(asked.tried[:3])})"}
    )


def _describe_database(stored: Stored, form: OrderForm | None, secrets: str) -> Setting:
    login, orders = stored.login, stored.orders
    if not login.name:
        return Setting("chaos_database", missing={"": login.why or "no database was found"})
    found = Setting("chaos_database", {"name": login.name, "user": login.user}, login.how)
    if login.wants_password:
        found.missing["password"] = f"{login.why}{secrets}"
        return found
    if login.password_given:
        found.missing["password"] = f"the one that was given for this is not written{secrets}"
    if orders is None:
        found.missing["lookup"] = login.why or (
            f"none of the {len(stored.catalogue.tables)} tables that {login.user} may read has columns of a price, a "
            "quantity and a side"
        )
        return found
    if orders.others:
        names = " and ".join(sorted([orders.table.written, *orders.others]))
        found.missing["lookup"] = (
            f"{names} look alike; -e discover_trial=true sends an order and sees where it is stored, or give lookup "
            f"and open yourself, such as {write_own_lookups(stored, form, orders)['lookup']}"
        )
        return found
    found.value.update(write_own_lookups(stored, form, orders))
    found.parts["lookup"] = tell_table(orders)
    return found


def write_own_lookups(stored: Stored, form: OrderForm | None, orders: OrdersTable) -> dict[str, str]:
    """Return the look-ups in a table of orders, as they are written in an inventory."""
    fields = _complete_fields(stored, form)[0] if form else {}
    places = {
        "user": "{user_id}" if fields.get("user") == "user_id" else stored.user,
        "symbol": "{symbol}" if fields.get("symbol") == "symbol" else stored.symbol,
    }
    words = orders.words_of("status", stored.catalogue) or stored.recent.values_of("status")
    return write_lookups(orders, list_waiting_words(words), places)


def tell_table(orders: OrdersTable) -> str:
    """Return which table the orders are in, and what its columns are taken for."""
    told = ", ".join(f"{part} {name}" for part, name in orders.columns.items())
    return f"the catalogue: table {orders.table.schema}.{orders.table.name} ({told})"


def _plain(variable: str, value: str, how: str, tried: str, stored: Stored) -> Setting:
    if value:
        return Setting(variable, value, how, guessed=variable in stored.guessed)
    return Setting(variable, missing={"": stored.login.why or f"{tried}: there is none"})


def _describe_orders(stored: Stored, form: OrderForm | None, asked: ApiAnswers | None) -> list[Setting]:
    """Return the variables of what an order looks like."""
    if form is None:
        tried = f"{'; '.join(asked.tried)}" if asked and asked.tried else "no API was found to ask"
        whole = Setting("chaos_order", missing={"": tried})
        if not (asked and asked.closed):
            return [whole]
        return [whole, *(Setting(f"chaos_order_{part}") for part in _OF_ORDERS)]
    fields, guessed = _complete_fields(stored, form)
    how = f"{form.how}{guessed}"
    cancel = form.cancel or {"method": "DELETE", "path": f"{form.path}/{{order_id}}"}
    sure = form.cancel and form.how.startswith("the API's own")
    accept: dict[str, Any] = {"status": form.statuses}
    if form.expression:
        accept["expression"] = form.expression
    return [
        _describe_order(stored, form, fields, how),
        _describe_side(stored, form, fields),
        _describe_price(stored, fields),
        Setting("chaos_order_accept", accept, form.how),
        Setting(
            "chaos_order_id",
            form.order_id,
            "whichever of these the answer has" if form.order_id == ANY_ID else form.how,
        ),
        Setting("chaos_order_error", ERROR, "whichever of these a refusal has"),
        Setting(
            "chaos_order_cancel", cancel, form.how if sure else "as most APIs have it; a trial order shows"
        ),
        Setting(
            "chaos_order_book",
            form.book,
            form.book_how or form.how
            if form.book
            else "no path of a book answered; its depth is not compared",
        ),
    ]


def _complete_fields(stored: Stored, form: OrderForm) -> tuple[dict[str, str], str]:
    """Return which field carries which part of an order; what the API does not tell has the column's name."""
    fields = dict(form.fields)
    columns = stored.orders.columns if stored.orders else {}
    added = [
        part
        for part in ("user", "symbol", "side", "kind", "quantity", "price")
        if part not in fields and part in columns
    ]
    if form.how.startswith("the API's own"):
        added = [part for part in added if part in ("quantity", "price", "side")]
    for part in added:
        fields[part] = columns[part]
    names = ", ".join(fields[part] for part in added)
    return fields, f"; {names} as the table's columns are called" if added else ""


def _describe_order(stored: Stored, form: OrderForm, fields: Mapping[str, str], how: str) -> Setting:
    body: dict[str, Any] = dict(form.fixed)
    found = Setting("chaos_order", {"method": form.method, "path": form.path, "body": body}, how)
    if "user" in fields:
        body[fields["user"]] = int(stored.user) if _stores_number(stored, "user") else USER
    if "symbol" in fields:
        body[fields["symbol"]] = int(stored.symbol) if _stores_number(stored, "symbol") else SYMBOL
    if "kind" in fields:
        words = _words(stored, form, "kind")
        limit = next((word for word in words if _LIMIT.search(word)), "")
        body[fields["kind"]] = limit or "LIMIT"
        found.parts["body"] = "" if limit else f"{fields['kind']} is a guess: nothing names its words"
    body[fields.get("quantity", "quantity")] = 1
    for name in form.unknown:
        found.missing[f"body.{name}"] = "the API's description asks for it and names no value"
    return found


def _stores_number(stored: Stored, part: str) -> bool:
    """Return whether a part is a number in the table, and so in the API."""
    value = stored.user if part == "user" else stored.symbol
    if stored.orders is None or part not in stored.orders.columns:
        return False
    kind = stored.orders.table.columns[stored.orders.columns[part]]
    return kind in ("integer", "bigint", "smallint") and re.fullmatch(r"\d{1,18}", value) is not None


def _words(stored: Stored, form: OrderForm, part: str) -> list[str]:
    """Return the words that a field takes: those the API names, else the table's, else those of recent orders."""
    if form.words.get(part):
        return form.words[part]
    if stored.orders:
        return stored.orders.words_of(part, stored.catalogue) or stored.recent.values_of(part)
    return []


def _describe_side(stored: Stored, form: OrderForm, fields: Mapping[str, str]) -> Setting:
    words = _words(stored, form, "side")
    sell = next((word for word in words if _SELL.search(word)), "")
    buy = next((word for word in words if _BUY.search(word)), "")
    name = fields.get("side", "side")
    if sell and buy:
        source = "the API's own description" if form.words.get("side") else "the table, or its latest orders"
        return Setting("chaos_order_side", {"field": name, "values": [sell, buy]}, f"{source}; selling first")
    tried = "neither the API's description, nor the column's words, nor the latest orders name both sides"
    return Setting("chaos_order_side", {"field": name}, missing={"values": tried})


def _describe_price(stored: Stored, fields: Mapping[str, str]) -> Setting:
    name = fields.get("price", "price")
    found = Setting("chaos_order_price", {"field": name, "base": _base_price(stored)})
    found.parts["base"] = "the latest price of this symbol, without its decimals, else 100"
    least, most = _DECIMALS
    decimals = stored.orders.decimals if stored.orders else None
    if decimals is not None and decimals >= least:
        found.value["decimals"] = min(decimals, most)
        found.parts["decimals"] = "as many as the column keeps"
    else:
        kind = ""
        if stored.orders:
            kind = stored.orders.table.columns[stored.orders.columns["price"]]
        found.missing["decimals"] = (
            f"the price's column is {kind or 'not known'}; a run needs one that keeps {least} decimals exactly"
        )
    return found


def _base_price(stored: Stored) -> str:
    for text in stored.recent.values_of("price", symbol=stored.symbol):
        try:
            whole = int(Decimal(text))
        except (InvalidOperation, ValueError, OverflowError):
            continue
        if 0 < whole < 10**9:
            return str(whole)
    return "100"


def _describe_probes(asked: ApiAnswers | None) -> list[Setting]:
    found = []
    for variable, probe, other in (
        ("chaos_readiness", asked.readiness if asked else {}, asked.health if asked else {}),
        ("chaos_health", asked.health if asked else {}, asked.readiness if asked else {}),
    ):
        if probe:
            found.append(Setting(variable, probe, f"GET {probe['path']} answered as it is to"))
        elif other:
            found.append(
                Setting(variable, other, f"no path of its own; GET {other['path']} answered as it is to")
            )
        else:
            tried = "; ".join(asked.tried[-12:]) if asked and asked.tried else "no API was found to ask"
            found.append(Setting(variable, missing={"": tried}))
    return found


def count_missing(settings: Sequence[Setting]) -> int:
    """Return how many values are still to be filled in."""
    return sum(len(one.missing) for one in settings)
