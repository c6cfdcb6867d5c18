# The API server. Pod Security admission is among the plugins that are on by default: a namespace labelled
# `pod-security.kubernetes.io/enforce: restricted` enforces it.

start_apiserver() {
  local flags=(
    --etcd-servers="http://$etcd_ip:$etcd_port"
    --secure-port="$api_port" --advertise-address="$api_ip"
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt"
    --service-cluster-ip-range="$service_cidr"
    --service-account-issuer=https://kubernetes.default.svc.cluster.local
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key"
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged
    # Without it `kubectl exec` and `kubectl logs` try to resolve the name node1.
    --kubelet-preferred-address-types=InternalIP
    --kubelet-certificate-authority="$pki/ca.crt"
    --kubelet-client-certificate="$pki/apiserver-to-kubelet.crt" --kubelet-client-key="$pki/apiserver-to-kubelet.key"
  )
  if [ "$mode" = control-plane ]; then
    # The Service `kubernetes` may not point at a loopback address, and nobody here would use it.
    flags+=(--bind-address=127.0.0.1 --endpoint-reconciler-type=none)
  fi
  if [ "$audit" = yes ]; then
    write_audit_policy
    # `blocking` (the default for files): a request that was answered is in the log. One file, however long.
    flags+=(--audit-policy-file="$run/audit-policy.yaml" --audit-log-path="$run/audit.log" --audit-log-mode=blocking
      --audit-log-maxsize=4096)
  fi
  start kube-apiserver "$bin/kube-apiserver" "${flags[@]}"
}

# Who did what to which object, reads included, without bodies.
write_audit_policy() {
  cat >"$run/audit-policy.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
YAML
}

wait_for_apiserver() {
  wait_for 60 kube-apiserver ready curl --silent --fail --max-time 5 --cacert "$pki/ca.crt" --cert "$pki/admin.crt" \
    --key "$pki/admin.key" "$api_url/readyz"
}
