# Controller manager and scheduler: one of each, so nobody has to be elected.

start_controller_manager() {
  local flags=(
    --kubeconfig="$pki/controller-manager.kubeconfig" --use-service-account-credentials --leader-elect=false
    # Its start is a burst of writes (an account and a token for each controller); the default of 20 a second takes 5 s.
    --kube-api-qps=300 --kube-api-burst=600
    --bind-address=127.0.0.1 --secure-port="$manager_port" --cert-dir="$run/controller-manager"
    --root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/sa.key"
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
    --service-cluster-ip-range="$service_cidr"
  )
  [ "$mode" = control-plane ] || flags+=(--allocate-node-cidrs --cluster-cidr="$pod_cidr" --node-cidr-mask-size=24)
  start kube-controller-manager "$bin/kube-controller-manager" "${flags[@]}"
}

start_scheduler() {
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false \
    --bind-address=127.0.0.1 --cert-dir="$run/scheduler"
}

# Pods are refused in a namespace until its default ServiceAccount is there.
wait_for_service_accounts() {
  wait_for 60 kube-controller-manager "giving namespaces their ServiceAccount" \
    kubectl get serviceaccount default --namespace "$1"
}
