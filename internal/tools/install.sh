#!/usr/bin/env bash
# Fetches the modules, and, where that is possible, the programs that some tests use: ip and unshare
# for network namespaces, tcpdump and jq to compare with. Tests that miss one are skipped.
set -euo pipefail
go mod download
missing=()
for program in ip:iproute2 unshare:util-linux tcpdump:tcpdump jq:jq curl:curl; do
	command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
done
if ((${#missing[@]})); then
	if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" ||
			echo "install: ${missing[*]} could not be installed; tests that need them are skipped"
	else
		echo "install: ${missing[*]} missing; tests that need them are skipped"
	fi
fi
