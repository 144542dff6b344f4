#!/usr/bin/env bash
# Runs every fuzz target of the module for the time given, by as many workers as given, and says
# what came of each. A target that fails does not stop the others; what it found is in its
# package's testdata/fuzz, to be mended and kept.
#	fuzz.sh [time [workers [pattern of "directory target"]]]
set -euo pipefail
time=${1:-20s}
workers=${2:-2}
only=${3:-.}
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
failed=0
while read -r dir target; do
	echo "== $dir $target"
	ran=ok
	go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -fuzzminimizetime=5s -parallel="$workers" "$dir" 2>&1 | tee "$log/out" || { ran=FAILED; failed=1; }
	said=$(grep -oE 'elapsed: [^,]+, execs: [0-9]+' "$log/out" | tail -1 || true)
	printf '%-6s %-32s %-24s %s\n' "$ran" "$dir" "$target" "$said" >>"$log/summary"
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*:func | |' | sort -u | grep -E "$only")
echo "== summary"
cat "$log/summary"
exit $failed
