#!/usr/bin/env bash
# Sourced by the gates: the repository's root as working folder, the environment's tools first in PATH.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
export PATH="$PWD/.venv/bin:$PATH"
export ANSIBLE_CONFIG="$PWD/ansible.cfg"
export cache=$PWD/.cache
mkdir -p "$cache"

# Copy every tracked file that exists, as it stands now, to folder $1.
copy_tracked() {
  mkdir -p "$1"
  git ls-files -z | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --create --null --files-from=- | tar --extract --directory "$1"
}
