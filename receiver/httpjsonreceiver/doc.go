//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package httpjsonreceiver asks devices for JSON over HTTP, again and again, and makes metrics and log records of
// what stands at the paths that it is told.
//
// It promises that a device which is slow, gone, or answers with too much, with nonsense, or with another address costs its
// own next answer and nothing else: each poll has a time limit, a bound of bytes and of items, and at most so many run at
// once. Credentials go to the host they are for only. It gives up what a device said between two polls, and, after a
// restart, which records it has told already.
package httpjsonreceiver
