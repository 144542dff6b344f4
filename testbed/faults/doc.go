// Package faults attacks the real binary: with files that are none, or no more, traffic that wants
// to cost, names that want to command the terminal, full disks, signals and missing permissions.
// It holds that each gives a clear message or a counter, never a panic, a hang or silence, and that
// every packet read is in a flow record or refused.
package faults
