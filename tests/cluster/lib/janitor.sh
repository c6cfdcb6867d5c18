#!/usr/bin/env bash
# Cleans a slot after its cluster has ended, by whatever means: `up` may have been killed with SIGKILL.
# It waits for the slot's lock, which the kernel frees when `up` and the sandbox's first process are gone.
#   janitor.sh MODE SLOT LOCK [RUN_DIRECTORY_TO_REMOVE]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mode=$1 slot=$2 lock=$3 remove=${4:-}
# shellcheck source=lib/addresses.sh
source "$here/lib/addresses.sh"
# shellcheck source=lib/slots.sh
source "$here/lib/slots.sh"

exec 9>>"$lock"
flock 9
clean_slot
if [ -n "$remove" ]; then
  # The last processes may still be writing into it.
  for _ in {1..50}; do
    rm -rf "$remove" 2>/dev/null && break
    sleep 0.1
  done
fi
