// Package statestorage is a storage extension for learned state: values of kilobytes to
// megabytes, saved now and then, that must be whole after a crash. See package durable for what
// it promises and gives up.
//
// Each component has a directory of its own below the one configured. Batch applies its
// operations in order and stops at the first that fails; together they are not one step.
package statestorage

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
