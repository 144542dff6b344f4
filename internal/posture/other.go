//go:build !linux

package posture

type hashed struct{}

func (*Watcher) open() error { return ErrUnsupported }
