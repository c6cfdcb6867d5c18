#!/usr/bin/env bash
# Installs from Debian what the full test cluster runs on, and only what is missing. Needs root the first time.
set -euo pipefail

# containerd, runc and the CNI plugins run the pods; iptables (CNI) and nftables (kube-proxy) route their packets;
# conntrack, ethtool and socat are called by kubelet and kube-proxy; busybox-static becomes the test bed's own images;
# binutils (strip) makes our images small.
packages=(containerd runc containernetworking-plugins iptables nftables conntrack ethtool socat iproute2 util-linux
  openssl busybox-static ca-certificates binutils curl)

missing=()
for package in "${packages[@]}"; do
  # shellcheck disable=SC2016  # dpkg-query's own variable, not the shell's
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing ${missing[*]}" >&2
log=$(mktemp)
# Debian's containerd starts a system service where there is an init system; the test bed runs a containerd of its own.
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  rm -f "$log"
  exit 1
fi
rm -f "$log"
