# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the stores may be otherwise: tables, passwords, TLS, who stands before the database, and a second one of it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.module.lab_stack import docker
from tests.shapes.certificates import make_certificates
from tests.shapes.project import PLAYED, Difference, Shaped
from tests.shapes.trait import Trait, require_right, run_experiment

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(240)
POSTGRES = (
    "postgres -D /var/lib/exchange/postgres -c config_file=/opt/exchange/postgres/postgresql.conf "
    "-c hba_file=/opt/exchange/postgres/pg_hba.conf"
)
CACHE_SECRET = "a-secret-of-the-cache"
#: PostgreSQL with TLS, and without it for nobody but its own socket; its key must be its own.
DATABASE_BY_TLS = (
    "install -m 600 /opt/shape/server.key /tmp/server.key; exec postgres -D /var/lib/exchange/postgres "
    "-c config_file=/opt/exchange/postgres/postgresql.conf -c hba_file=/opt/shape/pg_hba.conf "
    "-c ssl=on -c ssl_cert_file=/opt/shape/server.pem -c ssl_key_file=/tmp/server.key"
)


#: A database, and a role of the application's, that have to be quoted; made of the image's own before anybody comes.
QUOTED = {"name": "Trading-DB", "user": "Trading-User"}
MAKE_QUOTED = (
    "(until createdb -U postgres -T trading_db Trading-DB; do sleep 0.1; done; "
    "psql -U postgres -d Trading-DB -f /opt/shape/role.sql) & exec "
)
ROLE = (
    """CREATE ROLE "Trading-User" LOGIN PASSWORD 'trading' IN ROLE trading_user;"""
    """ALTER ROLE "Trading-User" SET search_path = trading, public;"""
)
#: A standby beside it, which takes all that is written; who copies is let in without a password.
STANDBY = (
    "until pg_isready -qh postgres; do sleep 0.2; done; rm -rf /var/lib/exchange/postgres/*; "
    "pg_basebackup -h postgres -U postgres -D /var/lib/exchange/postgres -R && exec /opt/exchange/postgres/start"
)
#: Where PostgreSQL may have its data in memory.
IN_MEMORY = "/data/pg"
#: PostgreSQL with a socket in another folder, or none in any: where its own client finds it then.
ELSEWHERE, NOWHERE = {"PGHOST": "/dev/shm"}, {"PGHOST": "127.0.0.1"}
#: Debian's packages of the pooler, beside what the image has.
POOLER = ("pgbouncer", "libevent-2.1-7", "libc-ares2")
POOL = """[databases]
trading_db = host=postgres port=5432 dbname=trading_db user=trading_user password=trading
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
auth_type = any
ignore_startup_parameters = synchronous_commit,extra_float_digits,jit
"""


def with_sockets_in(folder: str) -> dict[str, Any]:
    """PostgreSQL whose own socket lies in that folder."""
    command = f"exec {POSTGRES} -c unix_socket_directories='{folder}'"
    return {"postgres": {"command": ["sh", "-c", command]}}


def prepare_pool(folder: Path) -> None:
    """The pooler's program and its settings; the packages are kept for the next time."""
    kept = ROOT / ".cache" / "shapes"
    kept.mkdir(parents=True, exist_ok=True)
    if len(list(kept.glob("*.deb"))) < len(POOLER):
        done = subprocess.run(
            ["apt-get", "download", *POOLER], cwd=kept, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"Debian's package pgbouncer is not to be had: {done.stderr.strip()[-200:]}")
    for package in kept.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "pool")], check=True, capture_output=True)
    (folder / "pool.ini").write_text(POOL)
    (folder / "pool.ini").chmod(0o644)


def prepare_names(folder: Path) -> None:
    """A role whose name has to be quoted."""
    (folder / "role.sql").write_text(ROLE)
    (folder / "role.sql").chmod(0o644)


def prepare_standby(folder: Path) -> None:
    """PostgreSQL's rules: a standby may copy."""
    (folder / "pg_hba.conf").write_text(
        "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all all trust\n"
        "host all all all scram-sha-256\n"
    )
    (folder / "pg_hba.conf").chmod(0o644)


def own_database(**more: Any) -> dict[str, Any]:
    """``chaos_database`` with something besides."""
    return {"chaos_database": {"name": "trading_db", "user": "trading_user", **more}}


def prepare_tls(folder: Path) -> None:
    """Certificates, and PostgreSQL's rules: encrypted, or not at all."""
    make_certificates(folder)
    (folder / "pg_hba.conf").write_text("local all all trust\nhostssl all all all scram-sha-256\n")
    (folder / "pg_hba.conf").chmod(0o644)


def refuses_plain(exchange: Shaped) -> bool:
    """Whether PostgreSQL lets in nobody who does not encrypt, and does those who do."""
    ask = "psql 'host=postgres dbname=trading_db user=trading_user password=trading sslmode={}' -Atqc 'SELECT 1'"
    words = f"! {ask.format('disable')} && {ask.format('require')}"
    return docker("exec", exchange.container("postgres"), "bash", "-c", words) == "1"


def wait_standby(exchange: Shaped) -> None:
    """Wait until the standby takes what is written."""
    until = time.monotonic() + 30
    while exchange.query("SELECT state FROM pg_stat_replication") != ["streaming"]:
        assert time.monotonic() < until, docker("logs", "--tail", "5", exchange.container("standby"))
        time.sleep(0.2)


def comes_from(service: str) -> Any:
    """Whether the application's sessions come from that service alone."""
    ask = "SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE usename = 'trading_user'"
    return lambda exchange: exchange.query(ask) == [exchange.address(service)]


def has_socket(path: str) -> Any:
    """Whether PostgreSQL listens on that socket of the file system, and no other."""
    words = ("sh", "-c", "grep -o '/.*PGSQL.*' /proc/net/unix | sort -u")
    return lambda exchange: exchange.execute("postgres", *words) == path


def cache_says(words: str, answer: str) -> Any:
    """Whether the cache answers so to its own client."""
    return lambda exchange: (
        answer in docker("exec", exchange.container("redis"), "sh", "-c", f"redis-cli {words} 2>&1")
    )


EXCHANGES = {
    "keyed by id": Difference(change=Shaped.key_by_id),
    "with odd columns": Difference(change=lambda made: made.rename_columns('"orderId"', user='"user"')),
    "with odd names": Difference(
        {
            "postgres": {"command": ["sh", "-c", f"{MAKE_QUOTED}{POSTGRES}"]},
            "trading-api": {
                "environment": {"DATABASE_NAME": QUOTED["name"], "DATABASE_USER": QUOTED["user"]}
            },
        },
        database=QUOTED["name"],
        prepare=prepare_names,
    ),
    "traded by others": Difference(change=lambda made: made.rest("BUY", "150")),
    "with two tables": Difference(change=Shaped.add_second_table),
    "with passwords": Difference(
        {
            "redis": {"command": ["redis-server", "/opt/shape/redis.conf"]},
            "trading-api": {"environment": {"CACHE_USER": "api", "CACHE_PASSWORD": CACHE_SECRET}},
            "market-simulator": {"environment": {"CACHE_PASSWORD": CACHE_SECRET}},
        },
        prepare=lambda folder: (folder / "redis.conf").write_text(
            f"bind 0.0.0.0\nsave ''\nrequirepass {CACHE_SECRET}\nuser api on >{CACHE_SECRET} ~* &* +@all -@admin\n"
        ) and None,
        change=lambda made: made.require_passwords(postgres="boss", trading_user="trading"),
    ),
    "pooled": Difference(
        {
            "pool": {
                "like": "postgres",
                "environment": {"LD_LIBRARY_PATH": "/opt/shape/pool/usr/lib/x86_64-linux-gnu"},
                "command": "/opt/shape/pool/usr/sbin/pgbouncer /opt/shape/pool.ini",
            },
            "trading-api": {"environment": {"DATABASE_HOST": "pool", "DATABASE_PORT": "6432"}},
        },
        prepare=prepare_pool,
    ),
    "in memory": Difference(
        {
            "postgres": {
                "command": ["sh", "-c", f"cp -a /var/lib/exchange/postgres {IN_MEMORY} && exec "
                            + POSTGRES.replace("/var/lib/exchange/postgres", IN_MEMORY)],
                "tmpfs": ["/data:mode=1777"],
                "volumes": ["{folder}/init.sql:/init.sql:ro"],
            }
        },
        prepare=lambda folder: (folder / "init.sql").write_text("SELECT 1;") and None,
    ),
    "with a socket elsewhere": Difference(with_sockets_in("/dev/shm"), client=ELSEWHERE),
    "without a socket": Difference(with_sockets_in(""), client=NOWHERE),
    "with a standby": Difference(
        {
            "postgres": {"command": [
                "sh", "-c", "exec postgres -D /var/lib/exchange/postgres -c hba_file=/opt/shape/pg_hba.conf "
                "-c config_file=/opt/exchange/postgres/postgresql.conf"
            ]},
            "standby": {"like": "postgres", "command": ["sh", "-c", STANDBY]},
        },
        prepare=prepare_standby, change=wait_standby,
    ),
    "with TLS": Difference(
        {
            "postgres": {"command": ["sh", "-c", DATABASE_BY_TLS]},
            "redis": {
                "command": "redis-server --bind 0.0.0.0 --protected-mode no --port 0 --tls-port 6379 "
                "--tls-cert-file /opt/shape/server.pem --tls-key-file /opt/shape/server.key "
                "--tls-ca-cert-file /opt/shape/ca.pem --tls-auth-clients no"
            },
            "trading-api": {
                "environment": {"DATABASE_CA": "/opt/shape/ca.pem", "CACHE_CA": "/opt/shape/ca.pem"}
            },
            "market-simulator": {"environment": {"CACHE_CA": "/opt/shape/ca.pem"}},
        },
        prepare=prepare_tls,
    ),
}  # fmt: skip

TRAITS = {
    "orders keyed by id": Trait("keyed by id", lambda made: made.query("SELECT id FROM trading.orders") == []),
    "columns that have to be quoted": Trait(
        "with odd columns", lambda made: made.query('SELECT "orderId", "user" FROM trading.orders') == []
    ),
    "a database and a role that have to be quoted": Trait(
        "with odd names",
        lambda made: made.query("SELECT DISTINCT datname || usename FROM pg_stat_activity WHERE usename <> 'postgres'")
        == ["Trading-DBTrading-User"],
        given={"chaos_database": QUOTED}, possible=(1, 6, 12, 13),
    ),
    "somebody trades in the symbol": Trait(
        "traded by others", lambda made: made.query("SELECT count(*) FROM trading.orders") == ["1"],
        ending="filled at once",
    ),
    "two tables of orders": Trait(
        "with two tables", lambda made: made.query("SELECT count(*) FROM desk.orders") == ["0"],
        refused=r"look alike, and both like a table of orders; give chaos_database\.lookup and chaos_database\.open",
        remedy=own_database(
            lookup="SELECT price FROM trading.orders WHERE price BETWEEN {first} AND {last}",
            open="SELECT price, order_id FROM trading.orders WHERE price BETWEEN {first} AND {last} "
            "AND status IN ('PENDING', 'PARTIALLY_FILLED')",
        ),
    ),
    "passwords on the socket": Trait(
        "with passwords", lambda made: made.query("SELECT 1") == ["1"], possible=(1, 6, 13),
        refused=r"asks for the password of role trading_user at \S+; set chaos_database\.password",
        remedy=own_database(password="trading", admin={"user": "postgres", "password": "boss"}),
    ),
    "a cache with a password": Trait(
        "with passwords", cache_says("dbsize", "NOAUTH"), possible=(7, 10),
        given=own_database(password="trading"),
    ),
    "a cache with users of its own": Trait(
        "with passwords", cache_says(f"--user api --pass {CACHE_SECRET} config get save", "NOPERM"), possible=(7, 10),
        given=own_database(password="trading"),
    ),
    "a database with TLS required": Trait(
        "with TLS", refuses_plain, possible=(1, 2, 6, 9, 12, 13), refused="set chaos_database.password",
        remedy=own_database(password="trading"),
    ),
    "a database with TLS required, on another host": Trait(
        "with TLS", refuses_plain, possible=(2, 9),
        given={
            "chaos_external": {"database": {"address": "{address postgres}", "port": 5432}},
            **own_database(password="trading"),
        },
    ),
    "a pooler before the database": Trait(
        "pooled", comes_from("pool"), possible=(1, 6, 12, 13),
    ),
    "a path that leads through a pooler": Trait(
        "pooled", comes_from("pool"), possible=(2, 9),
        refused=r"has no connection to postgres on port 5432: it goes by way of pool \S+, which has.* Name pool as",
        remedy={"network_partition_target": "pool", "network_latency_target": "pool"},
    ),
    "data in memory, a file of the disk beside it": Trait(
        "in memory", lambda made: "tmpfs" in made.execute("postgres", "stat", "-f", "-c", "%T", IN_MEMORY),
        possible=(1, 12), ruled_out=(5,),
        says=rf"05 .{{0,60}}impossible .{{0,120}} keeps {IN_MEMORY} in memory \(tmpfs\), so there is no disk",
    ),
    "a socket in another folder": Trait(
        "with a socket elsewhere", has_socket("/dev/shm/.s.PGSQL.5432"), possible=(1, 6, 12, 13)
    ),
    "no socket of the file system's": Trait("without a socket", has_socket(""), possible=(1, 6, 12, 13)),
    "a database with a standby": Trait(
        "with a standby", lambda made: made.query("SELECT state FROM pg_stat_replication") == ["streaming"],
        given={"chaos_discover": True}, possible=(1, 2, 6, 12, 13),
    ),
    "the standby named as the database": Trait(
        "with a standby", lambda made: made.query("SELECT state FROM pg_stat_replication") == ["streaming"],
        given={"chaos_services": {**PLAYED, "database": "standby"}}, possible=(1,),
        refused="is a standby, which takes no orders", remedy={"chaos_services": PLAYED},
    ),
    "a cache with TLS": Trait("with TLS", cache_says("--tls --insecure dbsize", ""), possible=(7, 10)),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("exchange", ["with TLS"], indirect=True)
def test_slots_are_taken_by_sessions_in_tls(exchange: Shaped, tmp_path: Path) -> None:
    """They are held until the end, and whoever takes them is let in only so."""
    ran = run_experiment(
        "06-connection-pool-exhaustion",
        exchange,
        tmp_path,
        connection_pool_exhaustion_hold_s=4,
        **own_database(password="trading"),
    )
    (fault,) = ran.report.record["hosts"][0]["faults"]
    assert all(proof["holds"] for proof in fault["proof"]), fault["proof"]


@pytest.mark.full
@pytest.mark.parametrize("exchange", ["pooled"], indirect=True)
def test_a_partition_lies_between_the_pooler_and_the_database(exchange: Shaped, tmp_path: Path) -> None:
    """What is cut is the path that orders take, and their users feel it."""
    ran = run_experiment(
        "02-network-partition", exchange, tmp_path, network_partition_target="pool", network_partition_s=6
    )
    host = ran.report.record["hosts"][0]
    (fault,) = host["faults"]
    required = {proof["fact"]: proof for proof in fault["proof"]}
    dropped = required["packets of pool to or from postgres dropped before our own connect"]
    assert (dropped["holds"], dropped["value"] > 0) == (True, True), fault["proof"]
    errors = [phase["errors"] for phase in host["phases"] if phase["fault"] == fault["id"]]
    assert sum(errors) > 0, host["phases"]


def test_a_trait_works_or_is_refused_with_what_helps(trait: Trait, exchange: Shaped, tmp_path: Path) -> None:
    require_right(trait, exchange, tmp_path)
