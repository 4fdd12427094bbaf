# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an API, the engine, a database or a task says, generated: it is taken or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.common import bounds, peer_addresses
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.evidence import evidence, log_lines
from ansible_collections.exchange.chaos.plugins.module_utils.exchange import external, orders_table
from ansible_collections.exchange.chaos.plugins.module_utils.exchange.orders import Numbering
from ansible_collections.exchange.chaos.plugins.module_utils.faults import registry
from ansible_collections.exchange.chaos.plugins.module_utils.faults.mechanisms import lock_holder
from ansible_collections.exchange.chaos.plugins.module_utils.host import docker_engine, http_client
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_answer import Answer, Malformed
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres import query, wire
from ansible_collections.exchange.chaos.plugins.module_utils.host.postgres.locks import LockServer
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle import fault_module
from ansible_collections.exchange.chaos.plugins.module_utils.lifecycle.specification import fault_ttl
from ansible_collections.exchange.chaos.plugins.module_utils.run.specification import Specification
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.read import sound_host
from ansible_collections.exchange.chaos.plugins.plugin_utils.record.report_files import report_paths
from ansible_collections.exchange.chaos.plugins.plugin_utils.report import junit, text
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.behaviour.test_generated_files import VALUES, places, put
from tests.unit.containers import target
from tests.unit.host.test_docker_engine_bounds import INSPECT

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "0", "-1", "1e99999999", "NaN", "t", "9" * 400, "\x1b[2J", "10.0.0.1/33"]
)
KINDS = registry.known_kinds()


@contextmanager
def told(kind: type[Exception] = ChaosError) -> Iterator[None]:
    """What is refused is refused in words that can be written down, and briefly."""
    try:
        yield
    except kind as error:
        words = str(error)
        assert words, "an error without a word"
        assert words.encode("utf-8")
        assert len(words) < 2500


# -- API ------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n",
                b"5\r\nabcde\r\n", b"0\r\n\r\n", b"Content-Length: -1\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
                b"Content-Encoding: gzip\r\n",
            ]
        ),
        max_size=8,
    )
)  # fmt: skip
def test_an_answer_of_any_bytes_is_whole_or_malformed(parts: list[bytes]) -> None:
    answer = Answer()
    with told(Malformed):
        if not any(answer.feed(part) for part in parts):
            answer.close()
    assert isinstance(answer.body, bytes)


@given(st.text(max_size=12) | st.sampled_from(["a.b", "a[", "length(a)", "a == `1`", "@"]), VALUES)
def test_an_expression_of_any_text_holds_or_is_refused(asked: str, body: Any) -> None:
    with told():
        http_client.compile_expression(asked, "here")(body)


# -- engine ---------------------------------------------------------------------------------------------------

RICH: dict[str, Any] = {
    **INSPECT,
    "State": {"Pid": 7, "Running": True, "Health": {"Status": "healthy", "Log": [{"Output": "up"}]}, "ExitCode": 0},
    "Config": {"Labels": {docker_engine.NUMBER_LABEL: "2"}, "Env": ["A=b"],
               "Healthcheck": {"Test": ["CMD"], "Interval": 1}},
    "HostConfig": {"NanoCpus": 5, "RestartPolicy": {"Name": "always"}, "NetworkMode": "x"},
    "NetworkSettings": {
        "Networks": {"a": {"IPAddress": "10.0.0.2", "Gateway": "10.0.0.1"}},
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]},
    },
}  # fmt: skip


@given(st.sampled_from(places(RICH)), VALUES)
def test_a_container_of_any_fields_is_one_or_is_refused(at: tuple[Any, ...], value: Any) -> None:
    class Api:
        def inspect_container(self, _id: str) -> Any:
            return put(RICH, at, value)

    with told():
        found = DockerEngine(Api()).inspect("c")
        assert found is not None
        assert isinstance(found.check_needs_s, float)
        assert bounds.clean(found.name + found.address + found.stop_signal)


EVENT: dict[str, Any] = {
    "Action": "die", "timeNano": 5, "Actor": {"ID": "c", "Attributes": {"exitCode": "1", "name": "a"}},
}  # fmt: skip


@given(st.sampled_from(places(EVENT)), VALUES)
def test_an_event_of_any_fields_is_one_or_is_refused(at: tuple[Any, ...], value: Any) -> None:
    with told(ValueError):
        json.dumps(vars(docker_engine.read_event(put(EVENT, at, value))), allow_nan=False).encode()


# -- database -------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from([b"T", b"D", b"E", b"N", b"C"]), st.binary(max_size=40)), max_size=5)
)
def test_an_answer_of_any_messages_is_rows_or_a_sentence(messages: list[tuple[bytes, bytes]]) -> None:
    answer = query._Answer()
    with told():
        for kind, body in messages:
            answer.hear(kind, body)
    json.dumps([answer.rows, answer.error], ensure_ascii=False).encode()


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_challenge_of_any_bytes_is_answered_or_refused(challenge: bytes, outcome: bytes) -> None:
    scram = wire.Scram("p", nonce="n")
    for step, said in ((scram.final_message, b"r=n" + challenge), (scram.verify, outcome)):
        with told():
            step(said)
    assert not scram.proven


ROWS = st.lists(st.lists(TEXTS, max_size=4), max_size=3)


class Psql(LockServer):
    """A server whose psql prints anything."""

    def __init__(self, output: str) -> None:
        engine = SimpleNamespace(
            execute=lambda *_arguments, **_named: (0, output),
            restart=lambda _id: None,
            inspect=lambda _id: target(),
        )
        super().__init__(engine, "c", user="u", database="d")  # type: ignore[arg-type]


@given(ROWS)
def test_psql_may_print_anything(rows: list[list[str]]) -> None:
    server = Psql("\n".join("|".join(row) for row in rows))
    for ask in (
        lambda: server.count_connections("a"), lambda: server.is_superuser("a"), lambda: server.read_caps("a"),
        server.read_limit, server.file_setting, server.smallest_limit, server.started_at,
        lambda: server.granted_locks("a", "b"), lambda: server.count_waiting("a"),
    ):  # fmt: skip
        with told():
            ask()


@given(ROWS)
def test_rows_of_any_text_carry_numbers_or_a_sentence(rows: Sequence[Sequence[str]]) -> None:
    numbering = Numbering.from_price(PRICE)
    for row in rows:
        with told():
            assert numbering.number_in(row[0] if row else "") >= 0
    with told():
        lock_holder._read_numbers(rows, 2)


PRICE = {"base": "100", "decimals": 8, "first": 0, "most": 65536}
CATALOGUE = {
    "what": "column", "schema": "s", "table": "orders", "name": "price", "type": "numeric", "rows": 5,
    "columns": ["id"], "other_schema": "s", "other_table": "t", "other_columns": ["id"], "text": "x",
}  # fmt: skip


SAID = st.tuples(
    st.sampled_from(["column", "primary", "check", "word", "foreign"]),
    st.sampled_from(places(CATALOGUE)),
    VALUES,
)


@given(st.lists(SAID, max_size=6))
def test_a_catalogue_of_any_words_is_read(said: list[tuple[str, tuple[Any, ...], Any]]) -> None:
    rows = [[json.dumps(put({**CATALOGUE, "what": what}, at, value))] for what, at, value in said]
    orders_table.find_orders_table(orders_table.read_catalogue(rows))


# -- samples --------------------------------------------------------------------------------------------------

LINE = {
    "t": 1.0, "n": 1, "at": 1.0, "sent": 1.0, "end": 2.0, "ok": True, "status": 200, "kind": "ok", "probe": "api",
    "role": "api", "stream": "steady", "error": None, "client": 1, "way": "x", "detail": None, "surge": False,
}  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(places(LINE)), VALUES), max_size=5), st.text(max_size=60))
def test_samples_of_any_content_are_read(changes: list[tuple[tuple[Any, ...], Any]], logged: str) -> None:
    lines = [LINE, *(put(LINE, at, value) for at, value in changes)]
    orders, samples = evidence.parse_orders(lines), evidence.parse_samples(lines)
    assert LINE["at"] in [order.at for order in orders]
    assert all(isinstance(order.latency_ms, float) for order in orders)
    assert samples
    assert evidence.sort_by_time(lines)
    log_lines.is_complaint(logged), log_lines.worth_showing([logged], 3)


# -- records --------------------------------------------------------------------------------------------------

RECORD = json.loads((Path(__file__).resolve().parents[1] / "data" / "record-failed.json").read_text())
FILES = report_paths("/nowhere/chaos-exp-01", "log", "bpf", "json", "xml")


@given(st.sampled_from(places(RECORD["hosts"][0])), VALUES | st.sampled_from([10**400, -1, 1e308, "\x1b[2J"]))
def test_a_host_with_one_field_of_any_value_is_reported_or_invalid(at: tuple[Any, ...], value: Any) -> None:
    record = {**RECORD, "hosts": [sound_host(put(RECORD["hosts"][0], at, value))]}
    shown = "\n".join(text.render_log(record, FILES))
    assert shown.encode()
    assert "\x1b" not in shown
    assert junit.render_junit(record).encode()


# -- arguments, inventories -----------------------------------------------------------------------------------

TYPED: dict[str, st.SearchStrategy[Any]] = {
    "str": TEXTS,
    "path": TEXTS,
    "int": st.integers() | st.sampled_from([0, 65536, 10**400]),
    "float": st.floats() | st.sampled_from([1e308, -1.0]),
    "bool": st.booleans(),
    "dict": st.dictionaries(st.text(max_size=4), VALUES, max_size=3),
    "list": st.lists(TEXTS, max_size=3),
}


class Nobody:
    """An engine with one container that does not run."""

    def containers(self, _project: str) -> list[docker_engine.Container]:
        found = put(RICH, ("State",), {})
        return [
            docker_engine.read_container(
                put(found, ("Config", "Labels"), {docker_engine.SERVICE_LABEL: "db"})
            )
        ]

    def inspect(self, _id: str) -> None:
        return None


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_fault_of_any_arguments_is_planned_or_refused(kind: str, data: Any) -> None:
    """What Ansible let through, since it is of the types that the module says."""
    fault = registry.by_kind(kind)
    options = {**fault_module.shared_arguments(), **fault.KIND.arguments}
    parameters: dict[str, Any] = {name: known.get("default") for name, known in options.items()}
    for name in data.draw(st.lists(st.sampled_from(sorted(options)), max_size=6, unique=True)):
        choices = options[name].get("choices")
        parameters[name] = data.draw(
            st.sampled_from(choices) if choices else TYPED[options[name].get("type", "str")]
        )
    parameters.update(
        run_id="no-such-run", fault="f", project="lab", service="db", state_dir="/nonexistent/chaos"
    )
    parameters["ttl"] = 30.0 if parameters["ttl"] is None else parameters["ttl"]
    with told():
        wanted = fault_module.wanted_fault(fault, parameters, set(parameters))
        problems = fault_ttl("f", wanted["ttl"]) + fault.check(wanted)
        assert all(problem.endswith(".") and problem.encode() for problem in problems)
        if not problems:
            fault_module.plan_fault(fault, wanted, Nobody()).lines()  # type: ignore[arg-type]


@given(
    st.lists(TEXTS | st.sampled_from(["10.0.0.1", "::1", "10.0.0.0/8", "fe80::1%eth0"]), max_size=4) | VALUES
)
def test_addresses_of_an_inventory_are_taken_or_refused(value: Any) -> None:
    listed = peer_addresses.list_addresses(value)
    if not peer_addresses.find_problems("chaos_peers", listed):
        peer_addresses.merge_peers(listed), peer_addresses.name_peers(listed)


@given(
    st.dictionaries(
        st.sampled_from(["database", "cache", "api", "x"]),
        st.fixed_dictionaries({}, optional={"address": VALUES | TEXTS, "port": VALUES, "x": VALUES}) | VALUES,
        max_size=3,
    )
    | VALUES
)
def test_services_elsewhere_are_taken_or_refused(value: Any) -> None:
    said = {"external": value, "services": {"database": "db", "cache": "redis"}}
    problems = Specification.problems(said)
    if not problems:
        problems = external.find_problems(Specification.read(said))
    assert all(problem.encode() for problem in problems)
