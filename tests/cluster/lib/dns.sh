# CoreDNS, an ordinary Deployment behind the address that every pod asks.

start_dns() {
  sed "s/DNS_IP/$dns_ip/" "$here/lib/coredns.yaml" | kubectl apply --filename - >>"$run/logs/coredns.log" 2>&1 \
    || die_of coredns "cannot apply its manifests"
}

wait_for_dns() {
  kubectl --namespace kube-system rollout status deployment/coredns --timeout=90s >>"$run/logs/coredns.log" 2>&1 && {
    say "CoreDNS is answering"
    return
  }
  kubectl --namespace kube-system describe pods >>"$run/logs/coredns.log" 2>&1 || true
  kubectl --namespace kube-system logs deployment/coredns >>"$run/logs/coredns.log" 2>&1 || true
  die_of coredns "its Deployment did not become available"
}
