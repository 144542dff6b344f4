#!/usr/bin/env bash
# Keeps every processor busy for some three minutes, in a name space of processes of its own, with
# configs/host-alarms.yaml watching, and prints what it says: above 80 % for two minutes, and well
# again. Needs root, and a machine that is idle otherwise.
#
#   testbed/lab/busy.sh [BINARY]
set -euo pipefail
cd "$(dirname "$0")/../.."
export MONBAN; MONBAN=$(realpath "${1:-./monban}")
export DIR; DIR=$(mktemp -d)
trap 'rm -rf "$DIR"' EXIT
export MONBAN_STATE=$DIR/state MONBAN_OUT=$DIR/out
unshare --mount --pid --fork --mount-proc bash -euc '
	"$MONBAN" --config configs/host-alarms.yaml --config "yaml:{service: {telemetry: {logs: {level: warn}, metrics: {level: none, readers: []}}}}" & monban=$!
	told() { while read -r line; do jq -r "[.timestamp[:19], .severity, .[\"observation.phase\"], .[\"observation.summary\"]] | join(\"  \")" <<<"$line"; done; }
	touch "$DIR/seen"; tail -qF "$DIR/out/observations.ndjson" 2>/dev/null | told & tail=$!
	sleep 10
	busy=; for i in $(seq "$(nproc)"); do yes >/dev/null & busy="$busy $!"; done
	echo "$(date -u +%FT%T)  $(nproc) processors are busy from now on"
	sleep 140
	kill $busy
	echo "$(date -u +%FT%T)  and no more"
	sleep 60
	kill -TERM $monban; wait $monban; sleep 1; kill $tail'
