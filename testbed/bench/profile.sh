#!/usr/bin/env bash
# Where a capture's processor time goes: perf's samples of the whole process, by function, user and
# kernel.
#
#   testbed/bench/profile.sh CAPTURE [BINARY [CONFIG]]
#
# BINARY must have its symbols; without one the working tree is built. CONFIG is the meter alone,
# testbed/bench/flows.yaml, unless another is given. To compare with an older state, build it in
# a worktree of its own (git worktree add) and give both here. Needs perf (Debian: linux-perf).
set -euo pipefail
cd "$(dirname "$0")/../.."
capture=$(realpath "$1") binary=${2:-} config=${3:-$PWD/testbed/bench/flows.yaml}
command -v perf >/dev/null || { echo "skipped: no perf here" >&2; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ -z "$binary" ]; then
	binary=$dir/monban
	CGO_ENABLED=0 go build -trimpath -o "$binary" .
fi
mkdir "$dir/out"
export PCAP=$capture OUT=$dir/out INSPECT=${INSPECT:-false}
perf record -q -e cpu-clock -F 2000 -o "$dir/perf" -- "$binary" --config "$config" >/dev/null 2>"$dir/log" || { cat "$dir/log" >&2; exit 1; }
perf report -i "$dir/perf" --stdio --sort symbol 2>/dev/null | grep -E '^ +[0-9]+\.' | head -"${TOP:-20}" |
	sed -E 's|github.com/monban/monban/||; s|go.opentelemetry.io/collector/||'
