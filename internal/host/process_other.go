//go:build !linux

package host

import (
	"context"
	"time"

	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/net"
)

// Processes is for Linux only.
func (*Host) Processes(*Faults, func(*Process)) error { return ErrUnsupported }

// Detail is for Linux only.
func (*Host) Detail(p *Process, _ *Users, _ func(Part, error)) Detail { return Detail{Name: p.Name} }

// IO is for Linux only.
func (*Host) IO(int32) (IO, error) { return IO{}, ErrUnsupported }

// Status is for Linux only.
func (*Host) Status(int32) (Status, error) { return Status{}, ErrUnsupported }

// Descriptors is for Linux only.
func (*Host) Descriptors(int32) (int, error) { return 0, ErrUnsupported }

// Created is for Linux only.
func (*Host) Created() (uint64, error) { return 0, ErrUnsupported }

func (h *Host) uptime() (time.Duration, error) {
	s, err := host.UptimeWithContext(h.context(context.Background()))
	return time.Duration(s) * time.Second, err
}

func (h *Host) interfaces(ctx context.Context) ([]net.IOCountersStat, error) {
	return net.IOCountersWithContext(h.context(ctx), true)
}
