#!/usr/bin/env bash
# Installs what the tests start, outside the checkout and only what is missing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The servers that tests and benchmarks run beside ours. PostgreSQL is started by the tests, never as a system service.
packages=(postgresql nginx-light curl)
missing=()
for package in "${packages[@]}"; do
  # shellcheck disable=SC2016  # dpkg-query's own variable, not the shell's
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}" >&2
  apt-get update -qq
  # No package may start a server of its own here; a machine that has a word on that already keeps it.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

"$here/cluster/install.sh"
"$here/cluster/tools/build.sh" >/dev/null
"$here/prefect/install.sh" >/dev/null
"$here/conformance/install.sh" >/dev/null
"$here/clients/install.sh" >/dev/null
"$here/issuers/install.sh" >/dev/null
