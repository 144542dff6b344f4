//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package packetflowreceiver reads packets from capture files or live interfaces
// and writes flow records and sightings, in the order of time.
//
// It promises that every packet it was given is counted in exactly one flow or
// refused with a reason; that a file source waits for what is behind it and so
// never drops; that no batch is handed on twice, because what is behind counts;
// and that the flows still live at the end or at a shutdown are written before it
// returns. It gives up packets on live interfaces when what is behind is slower
// than the wire for longer than the ring lasts: the kernel counts those.
package packetflowreceiver
