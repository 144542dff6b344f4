//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package netflowreceiver listens for NetFlow v5 and v9, IPFIX and sFlow v5 and
// writes the flow records that package netflow makes of them.
//
// It promises that what was received is handed on once, in order of writing, also
// at a shutdown; that all it drops is counted; and that nothing which comes over
// the network ends the process. It gives up datagrams when what is behind is slower
// than the exporters for longer than the socket's buffer lasts: the kernel counts
// those, and the sequence numbers tell of them too.
package netflowreceiver
