# kube-proxy. In its first second it may log that it is forbidden to list Services: the API server is still making its roles.

start_proxy() {
  # The limit on tracked connections belongs to the machine, not to this network: 0 leaves it alone.
  start kube-proxy "$bin/kube-proxy" --kubeconfig="$pki/proxy.kubeconfig" --hostname-override=node1 \
    --proxy-mode=nftables --cluster-cidr="$pod_cidr" --conntrack-max-per-core=0
}
