//go:build !linux

package privilege

// Drop does nothing where there are no capabilities.
func Drop(user string) error { return nil }

// GaveUpNetAdmin is false where there are no capabilities.
func GaveUpNetAdmin() bool { return false }
