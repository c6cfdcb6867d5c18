# Progress, failure, and the processes a cluster is made of. Expects $run, the run directory.

declare -A component_pid=()

say() { printf '%7.1f s  %s\n' "$(elapsed)" "$*" >&2; }

# Seconds since the cluster's start, which both sides of the sandbox share.
elapsed() { local now=${EPOCHREALTIME/,/.}; awk "BEGIN { print $now - $began }"; }

die() {
  echo "test cluster: $*" >&2
  exit 1
}

# die_of NAME TEXT: fails with the last lines that component NAME logged.
die_of() {
  local log=$run/logs/$1.log
  echo "--- last lines of $log" >&2
  tail -n 25 "$log" >&2 || true
  die "$1: $2"
}

# start NAME COMMAND...: runs a component in the background, its output in logs/NAME.log. It dies with this shell, however
# this shell dies. It does not hold the slot's lock (descriptor 9).
start() {
  local name=$1
  shift
  setpriv --pdeathsig KILL -- "$@" >"$run/logs/$name.log" 2>&1 </dev/null 9>&- &
  component_pid[$name]=$!
}

running() { kill -0 "${component_pid[$1]}" 2>/dev/null; }

# wait_for SECONDS NAME STATE COMMAND...: until COMMAND succeeds; fails at once when component NAME has ended.
wait_for() {
  local limit=$1 name=$2 state=$3 deadline
  shift 3
  deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    running "$name" || die_of "$name" "ended before it was $state"
    ((SECONDS < deadline)) || die_of "$name" "not $state after $limit s"
    sleep 0.1
  done
  say "$name is $state"
}

# watch_components: returns only by failing, when one of them ends.
watch_components() {
  local ended='' status=0 name
  wait -n -p ended "${component_pid[@]}" || status=$?
  for name in "${!component_pid[@]}"; do
    [ "${component_pid[$name]}" != "$ended" ] || die_of "$name" "ended with status $status"
  done
}
