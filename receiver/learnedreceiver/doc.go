//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package learnedreceiver shows a person what the baseline processor has learned
// and saved, and lets them approve or remove it. It is a receiver because a
// Collector needs one to run at all: it does its work in Start, hands on no
// record, and says that it has come to its end.
//
// It promises to work on the whole saved state or not at all, under the storage's
// own lock, so that a running Monban is never disturbed; and to keep who decided
// what. It gives up speed: everything is read, and written again when it changed.
package learnedreceiver
