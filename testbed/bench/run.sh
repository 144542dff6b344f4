#!/usr/bin/env bash
# Measures monban: the hot paths by Go's benchmarks, and where the comparison is at
# hand the whole binary beside other flow meters on the same captures.
#
#   testbed/bench/run.sh [options of the comparison, such as -c min64-lite -n 1]
#
# MONBAN_BENCH is the comparison (run.py of the shared captures); BENCH_DIR is where it
# keeps the captures that it makes, several GB; BENCH_PEERS are the other meters;
# MONBAN_BINARY is what is measured, built here when not set.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0

go test -run '^$' -bench . -benchtime 1s ./internal/packet ./internal/flow ./internal/app \
	./internal/logrecord ./receiver/packetflowreceiver ./processor/deviceprocessor ./internal/flatjson ./internal/threshold ./internal/series ./internal/watch ./testbed/recordpath

compare=${MONBAN_BENCH:-../shared/bench/run.py}
if [ ! -f "$compare" ]; then
	echo "skipped: no comparison with other meters here (set MONBAN_BENCH)"
	exit 0
fi
binary=${MONBAN_BINARY:-}
if [ -z "$binary" ]; then
	binary=$PWD/.cache/bench/monban
	mkdir -p "$(dirname "$binary")"
	go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$binary" .
fi
# The first only meters, as most of the others do; the second also identifies applications,
# as ndpiReader does; the third is the first on one core; the fourth also learns the devices and
# what is usual for each, and judges: the configuration that pcap: stands for.
flows="env PCAP={pcap} OUT={out} $binary --config $PWD/testbed/bench/flows.yaml::wc -l < {out}/flows.ndjson"
exec python3 "$compare" -p "${BENCH_PEERS:-softflowd,nfpcapd,argus,ndpiReader}" "$@" \
	"monban-flows=env INSPECT=false ${flows#env }" "monban-identify=$flows" \
	"monban-one-core=env GOMAXPROCS=1 INSPECT=false ${flows#env }" \
	"monban=$binary --config pcap:{pcap}?out={out}::wc -l < {out}/flows.ndjson"
