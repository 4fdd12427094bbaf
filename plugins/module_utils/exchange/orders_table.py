# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which table of the database holds the orders, and in which columns: from the catalogue, by names and types. Pure.

The questions are asked elsewhere; here stand their words, and what is made of the answers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common import bounds
from ..common.shapes import is_whole

#: Tables, columns, keys, checks and words of enumerations that this role may read; a JSON object a line.
CATALOGUE = """
SELECT * FROM (SELECT json_build_object('what', 'column', 'schema', n.nspname, 'table', c.relname, 'name', a.attname,
  'type', format_type(a.atttypid, a.atttypmod), 'rows', c.reltuples::bigint)::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND a.attnum > 0 AND NOT a.attisdropped AND has_table_privilege(c.oid, 'SELECT')
ORDER BY n.nspname, c.relname, a.attnum LIMIT 4000) columns
UNION ALL
SELECT * FROM (SELECT json_build_object('what', CASE k.contype WHEN 'p' THEN 'primary' WHEN 'f' THEN 'foreign'
  ELSE 'check' END, 'schema', n.nspname, 'table', c.relname, 'columns',
  ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
  'other_schema', fn.nspname, 'other_table', f.relname, 'other_columns',
  ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)),
  'text', pg_get_constraintdef(k.oid))::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
WHERE k.contype IN ('p', 'f', 'c') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname LIMIT 2000) keys
UNION ALL
SELECT * FROM (SELECT json_build_object('what', 'word', 'type', format_type(e.enumtypid, NULL),
  'text', e.enumlabel)::text
FROM pg_enum e ORDER BY e.enumtypid, e.enumsortorder LIMIT 1000) words
""".strip()

#: Names that columns, and fields of an order, go by; the likeliest first, small letters and underscores alone.
NAMES = {
    "price": ("price", "limit_price", "order_price", "unit_price", "px"),
    "quantity": ("quantity", "qty", "amount", "size", "volume", "shares", "units", "order_qty"),
    "side": ("side", "direction", "order_side", "buy_sell", "action"),
    "symbol": (
        "symbol",
        "instrument",
        "ticker",
        "pair",
        "market",
        "asset",
        "product",
        "instrument_id",
        "symbol_id",
    ),
    "user": (
        "user_id",
        "account_id",
        "trader_id",
        "customer_id",
        "client_id",
        "owner_id",
        "user",
        "account",
        "trader",
    ),
    "kind": ("type", "order_type", "kind", "ord_type"),
    "status": ("status", "state", "order_status"),
    "id": ("order_id", "id", "uuid", "order_uuid"),
    "time": ("created_at", "created", "placed_at", "submitted_at", "inserted_at", "timestamp", "updated_at"),
}
#: Without these a table holds no orders.
_NEEDED = ("price", "quantity", "side")
#: How much a table's name tells of it.
_TABLE = re.compile(r"(^|_)orders?($|_)", re.IGNORECASE)
_HISTORY = re.compile(r"hist|archive|audit|backup|event|trade|fill|book", re.IGNORECASE)
#: Rows beyond which no table is sorted by a column, which may have no index.
SORTED = 2_000_000
_RECENT = 300
#: What an order's state is called while it waits in the book.
_WAITING = re.compile(r"pending|open|new|partial|active|accepted|working|resting|submitted", re.IGNORECASE)
_LONGEST = 200
#: Names that mean something else in a query unless they are quoted: a column ``user`` would be who asks.
#: Source: PostgreSQL's documentation, appendix C, "SQL Key Words": reserved, in PostgreSQL.
_KEY_WORDS = """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true union
    unique user using variadic verbose when where window with
"""
_RESERVED = frozenset(_KEY_WORDS.split())
#: What a user or a symbol has in its name that is for tests; an expression of PostgreSQL.
_FOR_TESTS = "(chaos|test|demo|sandbox|resilien)"


@dataclass(frozen=True)
class Table:
    """A table: its columns (name → type), and about how many rows it has."""

    schema: str
    name: str
    columns: Mapping[str, str]
    rows: int = 0
    primary: Sequence[str] = ()

    @property
    def written(self) -> str:
        """Return the table's name as SQL takes it."""
        return f"{quote_name(self.schema)}.{quote_name(self.name)}"


@dataclass
class Catalogue:
    """What the database says of itself; ``foreign``: (schema, table, column) → the same of what it refers to."""

    tables: list[Table] = field(default_factory=list)
    foreign: dict[tuple[str, str, str], tuple[str, str, str]] = field(default_factory=dict)
    checks: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class OrdersTable:
    """The table of orders and what its columns mean: by the keys of :data:`NAMES`; ``others`` look as much like one."""

    table: Table
    columns: Mapping[str, str]
    others: Sequence[str] = ()

    @property
    def tells_waiting(self) -> bool:
        """Return whether a row says in words if its order waits: a state in numbers is known to its owner alone."""
        kind = self.table.columns.get(self.columns.get("status", ""), "")
        return bool(kind) and not re.match(r"integer|bigint|smallint|numeric|boolean", kind)

    def words_of(self, part: str, catalogue: Catalogue) -> list[str]:
        """Return the words that a column allows: those of its enumeration, else of its check."""
        column = self.columns.get(part, "")
        kind = self.table.columns.get(column, "")
        if kind in catalogue.words:
            return catalogue.words[kind]
        checks = catalogue.checks.get((self.table.schema, self.table.name), [])
        for text in checks:
            words = re.findall(r"'((?:[^']|'')*)'", text)
            if words and re.match(rf"CHECK \(+\"?{re.escape(column)}\"?\b", text):
                return words
        return []

    @property
    def decimals(self) -> int | None:
        """Return how many decimals the price keeps exactly; None of a type that keeps none for certain."""
        kind = self.table.columns[self.columns["price"]]
        found = re.fullmatch(r"numeric\(\d+,(\d+)\)", kind)
        if found:
            return int(found.group(1))
        return 8 if kind == "numeric" else None


def quote_name(name: str) -> str:
    """Return a name as SQL takes it: as it is where that is safe, else between double quotes."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def parse_objects(rows: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return the JSON objects in rows that were parted at each ``|``; what is none is left out."""
    found = []
    for row in rows:
        try:
            value = bounds.parse_json("|".join(row), largest=bounds.LINE)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def read_catalogue(rows: Sequence[Sequence[str]]) -> Catalogue:
    """Return what the answer to :data:`CATALOGUE` says."""
    found = Catalogue()
    columns: dict[tuple[str, str], dict[str, str]] = {}
    sizes: dict[tuple[str, str], int] = {}
    primary: dict[tuple[str, str], list[str]] = {}
    for one in parse_objects(rows):
        at = (str(one.get("schema")), str(one.get("table")))
        what = one.get("what")
        if what == "column":
            columns.setdefault(at, {})[str(one.get("name"))] = str(one.get("type"))
            sizes[at] = one["rows"] if is_whole(one.get("rows")) else 0
        elif what == "primary":
            primary[at] = _names(one, "columns")
        elif what == "check":
            found.checks.setdefault(at, []).append(str(one.get("text")))
        elif what == "word":
            found.words.setdefault(str(one.get("type")), []).append(str(one.get("text")))
        elif what == "foreign" and len(_names(one, "columns")) == len(_names(one, "other_columns")) == 1:
            far = (str(one.get("other_schema")), str(one.get("other_table")), _names(one, "other_columns")[0])
            found.foreign[(*at, _names(one, "columns")[0])] = far
    found.tables = [
        Table(schema, name, fields, sizes[schema, name], primary.get((schema, name), ()))
        for (schema, name), fields in columns.items()
    ]
    return found


def _names(one: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of names in what the catalogue says, an empty one for what is none."""
    listed = one.get(key)
    return [str(name) for name in listed] if isinstance(listed, list) else []


def match_names(names: Sequence[str]) -> dict[str, str]:
    """Return which of some names plays which part of an order, by :data:`NAMES`; letters' case and _ do not matter."""
    flat = {flatten_name(name): name for name in names}
    found: dict[str, str] = {}
    for part, likely in NAMES.items():
        name = next((flat[flatten_name(one)] for one in likely if flatten_name(one) in flat), "")
        if name and name not in found.values():
            found[part] = name
    return found


def flatten_name(name: str) -> str:
    """Return a name without what parts its words: ``userId`` and ``user_id`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_orders_table(catalogue: Catalogue) -> OrdersTable | None:
    """Return the table whose columns look like an order's, None where there is none."""
    return next(iter(list_orders_tables(catalogue)), None)


def list_orders_tables(catalogue: Catalogue) -> list[OrdersTable]:
    """Return the tables that look most like one of orders, and equally so; first who refers to others and has a key."""
    ranked = []
    for table in catalogue.tables:
        columns = match_names(list(table.columns))
        if len(table.primary) == 1 and "id" not in columns:
            columns["id"] = table.primary[0]
        if not all(part in columns for part in _NEEDED):
            continue
        named = bool(_TABLE.search(table.name)) - 2 * bool(_HISTORY.search(table.name))
        refers = sum(key[:2] == (table.schema, table.name) for key in catalogue.foreign)
        rank = (-named, -len(columns), -refers, not table.primary, table.schema, table.name)
        ranked.append((rank, table, columns))
    ranked.sort(key=lambda item: item[0])
    alike = [(table, columns) for rank, table, columns in ranked if rank[:2] == ranked[0][0][:2]]
    names = sorted(table.written for table, _columns in alike)
    return [
        OrdersTable(table, columns, [name for name in names if name != table.written])
        for table, columns in alike
    ]


def ask_recent(orders: OrdersTable) -> str:
    """Return the question for the latest orders; of a large table, which is not sorted, for any."""
    pairs = ", ".join(
        f"'{part}', {quote_name(column)}::text"
        for part, column in orders.columns.items()
        if part in ("price", "quantity", "side", "symbol", "user", "kind", "status")
    )
    time = orders.columns.get("time", "")
    order = f" ORDER BY {quote_name(time)} DESC" if time and orders.table.rows <= SORTED else ""
    return f"SELECT json_build_object({pairs}) FROM {orders.table.written}{order} LIMIT {_RECENT}"


def ask_users(table: Table, key: str) -> str:
    """Return the question for a user whose name says that it is for tests; "" for a table without names."""
    texts = [
        name
        for name, kind in table.columns.items()
        if re.match(r"text|character", kind)
        and flatten_name(name) in ("name", "username", "login", "email", "handle")
    ]
    if not texts:
        return ""
    every = " || ' ' || ".join(f"coalesce({quote_name(name)}, '')" for name in texts)
    return (
        f"SELECT json_build_object('user', {quote_name(key)}::text) FROM {table.written} "
        f"WHERE {every} ~* '{_FOR_TESTS}' ORDER BY {every} !~* 'chaos' LIMIT 1"
    )


def ask_any(table: Table, column: str, part: str) -> str:
    """Return the question for any value of a column."""
    return (
        f"SELECT json_build_object('{part}', {quote_name(column)}::text) FROM {table.written} "
        f"WHERE {quote_name(column)} IS NOT NULL LIMIT 1"
    )


def ask_symbol(table: Table, column: str) -> str:
    """Return the question for a symbol whose name says that it is for tests."""
    name = f"{quote_name(column)}::text"
    return (
        f"SELECT json_build_object('symbol', {name}) FROM {table.written} "
        f"WHERE {name} ~* '{_FOR_TESTS}' ORDER BY {name} !~* 'chaos', {name} LIMIT 1"
    )


def ask_one(table: Table, column: str, part: str, value: str) -> str:
    """Return the question whether a column has a value."""
    text = "'" + value.replace("'", "''") + "'"
    return (
        f"SELECT json_build_object('{part}', {quote_name(column)}::text) FROM {table.written} "
        f"WHERE {quote_name(column)}::text = {text} LIMIT 1"
    )


def ask_row(orders: OrdersTable, identity: str) -> str:
    """Return the question for all that is stored of the order of an id."""
    return (
        f"SELECT row_to_json(o)::text FROM {orders.table.written} o "
        f"WHERE {quote_name(orders.columns['id'])}::text = {quote_value(identity)} LIMIT 1"
    )


def find_symbols(catalogue: Catalogue, orders: OrdersTable) -> tuple[Table, str] | None:
    """Return the table that lists symbols, and its column, None where there is none."""
    for table in catalogue.tables:
        column = match_names(list(table.columns)).get("symbol", "")
        plain = re.search(r"symbol|instrument|market|ticker|pair|asset|product", table.name, re.IGNORECASE)
        if column and plain and table != orders.table:
            return table, column
    return None


@dataclass(frozen=True)
class Recent:
    """What the latest orders look like: the values of each part, the most frequent first."""

    rows: Sequence[Mapping[str, Any]] = ()

    def values_of(self, part: str, **equal: str) -> list[str]:
        """Return the values of a part, the most frequent first, of rows in which other parts are ``equal``."""
        counts = Counter(
            bounds.fit_line(str(row[part]), _LONGEST)
            for row in self.rows
            if row.get(part) is not None and all(str(row.get(key)) == value for key, value in equal.items())
        )
        return [value for value, _count in counts.most_common()]


def list_waiting_words(words: Sequence[str]) -> list[str]:
    """Return those words of a status that an order has while it waits in the book."""
    return [word for word in words if _WAITING.search(word) and "cancel" not in word.lower()]


def write_lookups(orders: OrdersTable, waiting: Sequence[str], values: Mapping[str, str]) -> dict[str, str]:
    """Return the look-ups by which a run finds its orders, ``lookup`` and ``open``, as ``chaos_database`` takes them.

    values: what ``user`` and ``symbol`` are compared with, a place such as ``{user_id}`` or a value.
    """
    columns = {part: quote_name(name) for part, name in orders.columns.items()}
    price, table = columns["price"], orders.table.written
    where = [
        f"{columns[part]}{'' if _compares_as_text(orders, part) else '::text'} = {quote_value(value)}"
        for part, value in values.items()
        if part in columns
    ]
    condition = " AND ".join([*where, f"{price} BETWEEN {{first}} AND {{last}}"])
    found = {"lookup": f"SELECT {price} FROM {table} WHERE {condition}"}
    status = ""
    if "status" in columns and waiting:
        status = f" AND {columns['status']} IN ({', '.join(map(quote_value, waiting))})"
    elif "status" in columns:
        status = f" AND {columns['status']}::text !~* '^(fill|cancel|reject|expir|done|close|execut)'"
    identity = columns.get("id", "''")
    return {**found, "open": f"SELECT {price}, {identity} FROM {table} WHERE {condition}{status}"}


def quote_value(text: str) -> str:
    """Return a text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def _compares_as_text(orders: OrdersTable, part: str) -> bool:
    """Return whether a text between quotes can be compared with a column as it is, by an index where there is one."""
    kind = orders.table.columns[orders.columns[part]]
    return bool(re.match(r"text|character|uuid|integer|bigint|smallint|numeric", kind))
