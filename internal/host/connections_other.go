//go:build !linux

package host

func diagnose(*[len(ConnectionStates)]int64) error { return ErrUnsupported }
