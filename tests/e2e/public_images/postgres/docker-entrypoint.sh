#!/bin/bash
# What the public image's entry point does of what is documented: a cluster made where there is none, of POSTGRES_USER,
# POSTGRES_PASSWORD, POSTGRES_DB and POSTGRES_INITDB_ARGS, then whatever lies in /docker-entrypoint-initdb.d.
set -eu
if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
  chown postgres: "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && ! [ -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?Database is uninitialized and superuser password is not specified.}"
  user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
  eval initdb --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${POSTGRES_INITDB_ARGS:-}"
  printf '\nhost all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" --wait --options="${*:2} -c listen_addresses=''" start
  [ "$database" = postgres ] || psql --username "$user" --dbname postgres --command "CREATE DATABASE \"$database\""
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) "$file" ;;
      *.sql) psql --set=ON_ERROR_STOP=1 --username "$user" --dbname "$database" --file="$file" ;;
    esac
  done
  pg_ctl --pgdata="$PGDATA" --wait --mode=fast stop
fi
exec "$@"
