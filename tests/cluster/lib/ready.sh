# The file whose existence says that the cluster is up. Expects $up, the process to end it with.

write_ready() {
  cat >"$run/ready.partial" <<JSON
{"mode":"$mode","slot":$slot,"pid":$up,"hostIp":"$host_ip","nodeIp":"$node_ip","apiServer":"$api_url","serviceCidr":"$service_cidr","podCidr":"$pod_cidr","etcd":"http://$etcd_ip:$etcd_port","audit":"$([ "$audit" = no ] || echo "$run/audit.log")"}
JSON
  mv "$run/ready.partial" "$run/ready"
}
