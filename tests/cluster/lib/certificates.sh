# One certificate authority and what it signs, in $run/pki. All of it lives as long as the cluster.

make_certificates() {
  pki=$run/pki
  mkdir -p "$pki"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=aperium-test-ca \
    -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
  # Service-account tokens are signed with RSA because every client library can verify that.
  openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null

  client_certificate admin /O=system:masters/CN=admin
  client_certificate controller-manager /CN=system:kube-controller-manager
  client_certificate scheduler /CN=system:kube-scheduler
  client_certificate proxy /CN=system:kube-proxy
  client_certificate node /O=system:nodes/CN=system:node:node1
  client_certificate apiserver-to-kubelet /O=system:masters/CN=kube-apiserver
  server_certificate apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$kubernetes_ip,IP:$node_ip"
  server_certificate kubelet "DNS:node1,IP:$node_ip"

  local user
  for user in admin controller-manager scheduler proxy node; do write_kubeconfig "$user"; done
  install -m 600 "$pki/admin.kubeconfig" "$run/kubeconfig"
}

client_certificate() { sign "$1" "$2" "extendedKeyUsage=clientAuth"; }
server_certificate() { sign "$1" "/CN=$1" "extendedKeyUsage=serverAuth" "subjectAltName=$2"; }

# sign NAME SUBJECT EXTENSION...
sign() {
  local name=$1 subject=$2 extension extensions=()
  shift 2
  for extension in "$@"; do extensions+=(-addext "$extension"); done
  openssl req -x509 -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
    -subj "$subject" -addext basicConstraints=critical,CA:FALSE "${extensions[@]}" \
    -keyout "$pki/$name.key" -out "$pki/$name.crt" 2>/dev/null
}

# The file holds everything it needs, so that it can be copied.
write_kubeconfig() {
  local user=$1
  (umask 077 && cat >"$pki/$user.kubeconfig") <<YAML
apiVersion: v1
kind: Config
current-context: test
contexts:
  - {name: test, context: {cluster: test, user: $user}}
clusters:
  - name: test
    cluster:
      server: $api_url
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $user
    user:
      client-certificate-data: $(base64 -w0 "$pki/$user.crt")
      client-key-data: $(base64 -w0 "$pki/$user.key")
YAML
}
