#!/usr/bin/env bash
# What it costs to watch the host: the host receiver beside Debian's prometheus-node-exporter,
# each scraped over HTTP at the same interval by the same client, in the same run.
#
#   testbed/bench/host.sh [SECONDS] [INTERVAL]
#
# MONBAN_BINARY is what is measured, ./monban when not set. All figures are of /proc: processor
# time in milliseconds a scrape, and resident memory at the end. "monban, idle" has the
# Prometheus exporter and a receiver that gives nothing: what the Collector itself costs.
set -euo pipefail
cd "$(dirname "$0")/../.."
for_s=${1:-60} every=${2:-1}
monban=${MONBAN_BINARY:-$PWD/monban}
[ -x "$monban" ] || { echo "no $monban; make build first" >&2; exit 1; }
command -v prometheus-node-exporter >/dev/null || { echo "skipped: no prometheus-node-exporter here" >&2; exit 0; }
dir=$(mktemp -d)
pids=()
cleanup() { for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"; }
trap cleanup EXIT

config() { # name, port, receiver
	cat >"$dir/$1.yaml" <<YAML
receivers:
$3
exporters:
  prometheus: {endpoint: "127.0.0.1:$2", resource_to_telemetry_conversion: {enabled: false}}
service:
  telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}
  pipelines: {metrics: {receivers: [$4], exporters: [prometheus]}}
YAML
}
scrapers="cpu: , load: , memory: , paging: , disk: , filesystem: , network: , processes: , system: , sensors: "
config figures 19101 "  host: {collection_interval: ${every}s, initial_delay: 0s, scrapers: {$scrapers}}" host
config idle 19102 "  otlp: {protocols: {http: {endpoint: '127.0.0.1:19103'}}}" otlp

start() { "${@:2}" >"$dir/$1.log" 2>&1 & pids+=($!); eval "$1=$!"; }
start node prometheus-node-exporter --web.listen-address=127.0.0.1:19100 --collector.processes --collector.tcpstat
start figures "$monban" --config "$dir/figures.yaml"
start idle "$monban" --config "$dir/idle.yaml"

ticks() { local s; s=$(<"/proc/$1/stat"); set -- ${s##*) }; echo $((${12} + ${13})); }
memory() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$1/status"; }
scrape() { for port in 19100 19101 19102; do curl -sf -o "$dir/$port.txt" "http://127.0.0.1:$port/metrics" || true; done; }
for _ in $(seq 50); do scrape; [ -s "$dir/19100.txt" ] && [ -s "$dir/19101.txt" ] && break; sleep .2; done

sleep 5 # what a start costs is not of a scrape
declare -A before
for name in node figures idle; do before[$name]=$(ticks "${!name}"); done
rounds=$((for_s / every))
for _ in $(seq "$rounds"); do scrape; sleep "$every"; done
hz=$(getconf CLK_TCK)
printf '%-26s %16s %14s %10s\n' "" "ms CPU a scrape" "% of a core" "RSS MiB"
row() {
	local used=$(( $(ticks "$1") - ${before[$2]} ))
	awk -v n="$3" -v u="$used" -v hz="$hz" -v r="$rounds" -v e="$every" -v m="$(memory "$1")" \
		'BEGIN {printf "%-26s %16.1f %14.2f %10d\n", n, u * 1000 / hz / r, u * 100 / hz / r / e, m}'
}
row "$node" node "prometheus-node-exporter"
row "$figures" figures "monban, host receiver"
row "$idle" idle "monban, idle"
echo "samples a scrape: node exporter $(grep -vc '^#' "$dir/19100.txt"), monban $(grep -vc '^#' "$dir/19101.txt" || true)"
