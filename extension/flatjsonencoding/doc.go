//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package flatjsonencoding is an encoding for receivers and exporters that take one: flat JSON by
// the schemas in schema/, an object a line.
//
// It promises what internal/flatjson does: valid lines, and types as the tables of fields say when
// they are read again. It refuses a message with a line that is none, and gives up what a line has
// no place for: which attributes were the resource's, and the scope.
package flatjsonencoding
