#!/usr/bin/env bash
# Synod beside etcd: three members of each on loopback, durable, default settings, the same load from etcd's own `benchmark`, one after the other, round by round.
# Prints a line per run, and for each load the ratio Synod / etcd of throughput and of mean latency, median over the rounds.
# Everything is built from the Go module proxy. Usage: bench/etcd-ratios.sh [ROUNDS]     (default 5; about 2 minutes a round)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
work=$(mktemp -d "${TMPDIR:-/tmp}/synod-bench.XXXXXX")
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

CGO_ENABLED=0 go build -o "$work/synod" ./cmd/synod
(cd e2e && go build -o "$work/etcd" go.etcd.io/etcd/server/v3)
(cd e2e && go build -o "$work/benchmark" go.etcd.io/etcd/v3/tools/benchmark)

start() { # start NAME PORT COMMAND...: three members, client ports PORT+1.. , peer ports PORT+11..
  local name=$1 port=$2 cluster="" i; shift 2
  for i in 1 2 3; do cluster+="$name$i=http://127.0.0.1:$((port + 10 + i)),"; done
  for i in 1 2 3; do
    "$@" --name "$name$i" --data-dir "$work/$name$i" --initial-cluster "${cluster%,}" --initial-cluster-state new --log-level error \
      --listen-client-urls "http://127.0.0.1:$((port + i))" --advertise-client-urls "http://127.0.0.1:$((port + i))" \
      --listen-peer-urls "http://127.0.0.1:$((port + 10 + i))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 10 + i))" >"$work/$name$i.log" 2>&1 &
    pids+=($!)
  done
  for i in 1 2 3; do
    for _ in $(seq 100); do curl -fs "http://127.0.0.1:$((port + i))/health" >/dev/null && break; sleep 0.1; done
  done
}
start etcd 23100 "$work/etcd"
start synod 23200 "$work/synod" serve

run() { # run NAME PORT LABEL ARGS...
  local name=$1 port=$2 label=$3 out; shift 3
  out=$("$work/benchmark" --endpoints="127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2)),127.0.0.1:$((port + 3))" "$@" 2>/dev/null)
  awk -v n="$name" -v l="$label" '/Requests\/sec/{r=$2} /Average/{a=$2} /99% in/{p=$3} END{printf "%-6s %-34s %10.0f/s  mean %8.2f ms  p99 %8.2f ms\n", n, l, r, a*1000, p*1000}' <<<"$out" | tee -a "$work/results"
}
for round in $(seq "$rounds"); do
  echo "round $round of $rounds"
  while IFS='|' read -r label args; do
    # shellcheck disable=SC2086
    run etcd 23100 "$label" $args
    # shellcheck disable=SC2086
    run synod 23200 "$label" $args
  done <<'LOADS'
put, 1 client|--conns=1 --clients=1 put --key-size=8 --sequential-keys --total=4000 --val-size=256
put, 100 clients|--conns=10 --clients=100 put --key-size=8 --sequential-keys --total=50000 --val-size=256
put, 1,000 clients|--conns=100 --clients=1000 put --key-size=8 --sequential-keys --total=100000 --val-size=256
range linearizable, 1 client|--conns=1 --clients=1 range foo --total=4000 --consistency=l
range linearizable, 100 clients|--conns=10 --clients=100 range foo --total=60000 --consistency=l
range linearizable, 1,000 clients|--conns=100 --clients=1000 range foo --total=100000 --consistency=l
range serializable, 1,000 clients|--conns=100 --clients=1000 range foo --total=100000 --consistency=s
LOADS
done
echo; echo "Synod / etcd, median of $rounds paired rounds"
python3 - "$work/results" <<'PY' 2>/dev/null || awk '{print}' "$work/results"
import re, statistics, sys
rows = {}
for line in open(sys.argv[1]):
    m = re.match(r"(\w+)\s+(.*?)\s+(\d+)/s\s+mean\s+([\d.]+) ms", line)
    rows.setdefault(m[2], {}).setdefault(m[1], []).append((float(m[3]), float(m[4])))
for load, by in rows.items():
    tp = [s[0] / e[0] for s, e in zip(by["synod"], by["etcd"])]
    lat = [s[1] / e[1] for s, e in zip(by["synod"], by["etcd"])]
    print(f"{load:<36} throughput {statistics.median(tp):5.2f} ({min(tp):.2f}-{max(tp):.2f})   mean latency {statistics.median(lat):5.2f} ({min(lat):.2f}-{max(lat):.2f})")
PY
