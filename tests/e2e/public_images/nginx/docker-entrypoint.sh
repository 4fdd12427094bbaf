#!/bin/sh
# As the public image's: what lies in /docker-entrypoint.d runs before nginx does.
set -e
if [ "$1" = nginx ]; then
  for file in /docker-entrypoint.d/*.sh; do
    if [ -x "$file" ]; then "$file"; fi
  done
fi
exec "$@"
