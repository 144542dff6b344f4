#!/usr/bin/env bash
# Runs govulncheck when its database answers, and says so when it was skipped.
set -euo pipefail
database=${GOVULNDB:-https://vuln.go.dev}
if [[ $database == http* ]] && ! curl --silent --fail --max-time 10 --output /dev/null "$database/index/db.json"; then
	echo "govulncheck: SKIPPED, its database $database can't be reached"
	exit 0
fi
exec go tool -modfile=internal/tools/lint/go.mod govulncheck ./...
