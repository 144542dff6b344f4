#!/usr/bin/env bash
# Meters 2,000,000 forged SYNs beside 200 slow connections, and says what became of each.
# The generator is that of the comparison (synflood/gen.go beside MONBAN_BENCH); needs jq.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0
compare=$(realpath "$(dirname "${MONBAN_BENCH:-../shared/bench/run.py}")")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go run "$compare/synflood/gen.go" -o "$dir/flood.pcap"
go build -trimpath -o "$dir/monban" .
mkdir "$dir/out"
PCAP=$dir/flood.pcap OUT=$dir/out "$dir/monban" --config testbed/bench/flows.yaml
packets='(.["flow.io.packets"] // 0) + (.["flow.reverse.io.packets"] // 0)'
slow='(.["source.address"] | startswith("10.0."))'
jq -s -r "map(select($slow)) | \"connections on record, of state SF, their packets: \(map(.[\"source.port\"]) | unique | length) \
\(map(select(.[\"flow.tcp.state\"] == \"SF\")) | length) \(map($packets) | add)\"" "$dir/out/flows.ndjson"
jq -s -r "\"packets of the flood in records: \(map(select($slow | not) | $packets) | add)\"" "$dir/out/flows.ndjson"
jq -s -r "\"packets of the flood rolled up: \(map($packets) | add)\"" "$dir/out/floods.ndjson"
jq -r '[.timestamp, .["flood.state"], .["destination.address"], .["flood.total_flows"], .["flood.source.count"]] | @tsv' "$dir/out/floods.ndjson"
