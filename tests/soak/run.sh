#!/usr/bin/env bash
# Runs the heavy tests at their full figures and writes a report, tests/soak/results/<date>.md. Ends with 1 when one fails.
#
#   run.sh [ROW]...   only these rows of the report; the others stay as they were measured on the same day
#                     (rounds, properties, killed, stopped, ring, tenants, token, people, memory; default: all)
#
#   PROPTEST_CASES   cases of each property (default: a million)
#   APERIUM_SEED     seed of the random moments of a test (default: a new one, printed)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export APERIUM_SOAK=1
cases=${PROPTEST_CASES:-1000000}
commit=$(git rev-parse --short HEAD)
report=tests/soak/results/$(date -u +%F).md
order=(properties killed stopped ring rounds tenants token people memory)
wanted=" ${*:-${order[*]}} "
lines=${CARGO_TARGET_DIR:-target}/soak/$(date -u +%F)
mkdir -p "$lines" "$(dirname "$report")"

# write ROW WHAT OUTCOME SECONDS SAID
write() {
  printf '| %s | %s | %s | %s | %s |\n' "$2" "$3" "$commit" "$4" "$5" >"$lines/$1"
}

# measure ROW WHAT TESTS COMMAND [ARG]...: one row of the report, with what the tests printed about themselves.
measure() {
  local row=$1 what=$2 tests=$3 log began=$SECONDS outcome=passed said
  shift 3
  case $wanted in *" $row "*) ;; *) return ;; esac
  log=$(mktemp)
  echo "=== $what"
  if ! "$@" >"$log" 2>&1; then
    outcome=FAILED
  fi
  cat "$log"
  # A filter that matches nothing must not pass for a test.
  if ! grep -qE "^test result: ok\. $tests passed" "$log"; then
    outcome=FAILED
  fi
  said=$(grep -oE '(APERIUM_SEED=[0-9]+|[0-9]+ (calls:|rounds) .*)$' "$log" | paste -sd ';' | sed 's/;/; /g' || true)
  write "$row" "$what" "$outcome" "$((SECONDS - began))" "$said"
  rm -f "$log"
}

# Each round waits for the end of a token, so this one runs beside the others.
measure rounds "50 calls at the end of a token on two replicas, 1000 times: one refresh each" 1 \
  cargo test --locked --workspace --lib -- fifty_calls --nocapture &
rounds=$!
measure properties "no path leaves its base; no query carries the own parameter; grants decide as the naive reading: $cases cases each" 3 \
  env PROPTEST_CASES="$cases" cargo test --locked --workspace --lib -- \
  no_path_leaves_its_base no_query_carries_the_own_parameter the_compiled_grants_decide_as_the_naive_reading_does
measure killed "1000 calls, one of two replicas killed" 1 \
  cargo test --locked --workspace --test replicas killing -- --nocapture
measure stopped "1000 calls, one of two replicas stopped; 200 connectors, 1000 grants, one upstream silent for 30 s" 2 \
  cargo test --locked --workspace --test replicas -- stopping silent --nocapture --test-threads=1
measure ring "the key ring rotated twice for 10000 tenants under reads, on PostgreSQL and SQLite" 1 \
  cargo test --locked --workspace --test store rotating_the_ring -- --nocapture
measure tenants "a million calls of 8 tenants and 16 connectors by 64 clients, services killed, both rings changed twice: each sees its own credential" 1 \
  cargo test --locked --workspace --bins -- t2_no_call_ever_sees --nocapture
measure token "a replica killed between a token response and its database, 300 times: at most one consent anew each" 1 \
  cargo test --locked --workspace --lib -- killing_a_replica_over_a_token --nocapture
measure people "200 people of 8 tenants connect and call at once over two replicas, tokens renewed meanwhile: nobody with another's" 1 \
  cargo test --locked --workspace --lib -- t12_of_two_hundred --nocapture
wait "$rounds"

# Alone, and the release build, as what is resident is to be that of a real gateway.
memory() {
  local began=$SECONDS outcome=passed log
  log=$(mktemp)
  echo "=== memory over ten minutes of load"
  cargo build --locked --release --package aperium-gateway --package aperium-tests --bins
  if ! taskset -c 0 "${CARGO_TARGET_DIR:-target}/release/bench-gateway" --only memory --steady 600 2>&1 | tee "$log"; then
    outcome=FAILED
  fi
  # What an idle gateway holds is a matter of `make bench`; here it is about what sessions and time add.
  if [ "$(grep -cE '^\| memory: (MiB with|KiB a|KiB grown).* yes \|$' "$log")" != 3 ]; then
    outcome=FAILED
  fi
  write memory "4000 sessions, then 10 minutes of load" "$outcome" "$((SECONDS - began))" \
    "$(sed -n 's/^| memory: \(.*\) | .* | \(.*\) | .* |$/\1: \2/p' "$log" | paste -sd ';' | sed 's/;/; /g')"
  rm -f "$log"
}
case $wanted in *" memory "*) memory ;; esac

{
  echo "# Soak, $(date -u +%F)"
  echo
  echo "\`make soak\`, $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), debug build; memory: release build."
  echo
  echo "| what | outcome | commit | seconds, building included | said |"
  echo "|---|---|---|---:|---|"
  for row in "${order[@]}"; do
    if [ -e "$lines/$row" ]; then cat "$lines/$row"; else echo "| $row | not run | | | |"; fi
  done
} >"$report"
echo "written: $report"
! grep -qE '\| (FAILED|not run) \|' "$report"
