# etcd with a fresh data folder, without TLS: it listens on loopback only.

start_etcd() {
  local client=http://$etcd_ip:$etcd_port peer=http://$etcd_ip:$etcd_peer_port
  # Nothing here has to survive a power cut, and waiting for the disk is most of what etcd does otherwise.
  start etcd "$bin/etcd" --unsafe-no-fsync --data-dir "$run/etcd" --log-level warn \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
}
