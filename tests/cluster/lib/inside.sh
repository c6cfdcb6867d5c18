#!/usr/bin/env bash
# The first process of the sandbox (pid 1 there): makes the node's private surroundings, then starts every component.
#   inside.sh HERE RUN BIN SLOT AUDIT BEGAN PID_OF_UP [IMAGE_ARCHIVE]...
set -euo pipefail
here=$1 run=$2 bin=$3 slot=$4 audit=$5 began=$6 up=$7
shift 7
mode=full pki=$run/pki
export PATH=$bin:$PATH KUBECONFIG=$run/kubeconfig KUBECACHEDIR=$run/kubectl-cache
for part in say addresses etcd apiserver controllers containerd kubelet proxy dns ready; do
  # shellcheck source=/dev/null
  source "$here/lib/$part.sh"
done

private_places() {
  mount --make-rshared / # mounts of pods must be seen by kubelet and containerd alike; none of them leaves the sandbox
  mount -t tmpfs -o mode=755 tmpfs /run
  local place
  for place in /var/lib/kubelet /var/lib/cni /var/log; do
    mkdir -p "$place" "$run/node$place"
    mount --bind "$run/node$place" "$place"
  done
  hostname node1
}

private_network() {
  ip link set lo up
  for _ in {1..200}; do
    ip link show eth0 >/dev/null 2>&1 && break
    sleep 0.05
  done
  ip address add "$node_ip/30" dev eth0 || die "the machine did not hand over its end of the veth pair"
  ip link set eth0 up
  sysctl --quiet -w net.ipv4.ip_forward=1
  # Packets between two pods on the bridge pass kube-proxy's rules too, or a Service would not answer its own pods.
  sysctl --quiet -w net.bridge.bridge-nf-call-iptables=1
}

private_places
private_network
start_etcd
start_apiserver
start_containerd
wait_for_containerd
import_images "$@" &
importing=$!
wait_for_apiserver
start_controller_manager
start_scheduler
start_proxy
wait "$importing"
start_kubelet
start_dns
wait_for 60 kubelet ready node_is_ready
wait_for_service_accounts default
wait_for_service_accounts kube-system
wait_for_dns
write_ready
say "the cluster is up: export KUBECONFIG=$run/kubeconfig"
watch_components
