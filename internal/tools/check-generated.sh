#!/usr/bin/env bash
# Generates everything again in a copy of the tree and fails when that makes a difference.
set -euo pipefail
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

if git rev-parse --git-dir >/dev/null 2>&1; then
	git ls-files -z --cached --others --exclude-standard
else
	find . -path ./.cache -prune -o -type f ! -path ./monban -print0
fi | while IFS= read -r -d '' file; do
	if [[ -f $file && ! $file =~ \.(pcap|pcapng)(\.gz)?$ ]]; then printf '%s\0' "$file"; fi
done | tar --create --null --files-from=- | tar --extract --directory="$copy"

cp -r "$copy" "$copy.before"
trap 'rm -rf "$copy" "$copy.before"' EXIT
make --silent --directory="$copy" generate BINARY=monban >"$copy.log" 2>&1 || { cat "$copy.log"; exit 1; }
rm -rf "$copy/.cache" "$copy.log"
if ! diff --recursive --unified=1 "$copy.before" "$copy" | sed "s|$copy|.|"; then
	echo "check-generated: the files above differ from what \`make generate\` writes" >&2
	exit 1
fi
if ! go mod tidy -diff; then
	echo "check-generated: go.mod is not tidy; see CONTRIBUTING.md on versions before running \`go mod tidy\`" >&2
	exit 1
fi
