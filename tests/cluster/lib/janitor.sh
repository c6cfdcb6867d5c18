#!/usr/bin/env bash
# Cleans a slot after its cluster has ended, by whatever means: `up` may have been killed with SIGKILL.
# It waits for the slot's lock, which the kernel frees when `up` and the sandbox's first process are gone.
#   janitor.sh MODE SLOT LOCK RUN KEEP_LOGS
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mode=$1 slot=$2 lock=$3 run=$4 keep_logs=$5
# shellcheck source=lib/addresses.sh
source "$here/lib/addresses.sh"
# shellcheck source=lib/slots.sh
source "$here/lib/slots.sh"

exec 9>>"$lock"
flock 9
clean_slot
if [ "$keep_logs" = yes ]; then
  # Logs, configuration and certificates tell what happened; images and databases are hundreds of megabytes.
  bulk=("$run/etcd" "$run/containerd" "$run/node/var/lib" "$run/ready" "$run/sandbox.pid")
else
  bulk=("$run")
fi
# The last processes may still be writing.
for _ in {1..50}; do
  rm -rf "${bulk[@]}" 2>/dev/null && break
  sleep 0.1
done
