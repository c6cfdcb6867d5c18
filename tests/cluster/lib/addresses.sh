# Where everything listens. Expects $mode (full, control-plane) and $slot: clusters of different slots share nothing.

etcd_ip=127.0.0.1
if [ "$mode" = full ]; then
  # The sandbox has a network of its own: ports are the usual ones, addresses differ from slot to slot.
  host_ip=10.211.$slot.1
  node_ip=10.211.$slot.2
  host_link=aperium$slot
  cgroup=aperium-test-$slot
  api_ip=$node_ip api_port=6443
  etcd_port=2379 etcd_peer_port=2380 manager_port=10257
else
  # On the machine's loopback. The ports lie below those that the kernel hands out to clients and to `bind(0)`.
  host_ip=127.0.0.1
  node_ip=127.0.0.1
  api_ip=127.0.0.1
  api_port=$((21000 + slot * 10))
  etcd_port=$((api_port + 1)) etcd_peer_port=$((api_port + 2)) manager_port=$((api_port + 3))
fi
service_prefix=10.$((96 + slot))
[ "$mode" = full ] || service_prefix=10.96
service_cidr=$service_prefix.0.0/16
kubernetes_ip=$service_prefix.0.1
dns_ip=$service_prefix.0.10
pod_prefix=10.244.$slot
[ "$mode" = full ] || pod_prefix=10.244.0
pod_cidr=$pod_prefix.0/24
api_url=https://$api_ip:$api_port
