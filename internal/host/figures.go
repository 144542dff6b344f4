package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// CPU is what one logical processor did since the boot, in seconds.
type CPU struct {
	Number                                                            int
	User, Nice, System, Idle, IOWait, Interrupt, SoftInterrupt, Steal float64
}

// Total is all the time of the processor.
func (c *CPU) Total() float64 {
	return c.User + c.Nice + c.System + c.Idle + c.IOWait + c.Interrupt + c.SoftInterrupt + c.Steal
}

// CPUs reads the times of each logical processor.
func (h *Host) CPUs(ctx context.Context) ([]CPU, error) {
	times, err := cpu.TimesWithContext(h.context(ctx), true)
	if err == nil && len(times) == 0 {
		err = fmt.Errorf("%s lists no processor", h.Path("/proc/stat"))
	}
	if err != nil {
		return nil, fmt.Errorf("reading processor times: %w", err)
	}
	out := make([]CPU, 0, len(times))
	for i, t := range times {
		n, err := strconv.Atoi(strings.TrimPrefix(t.CPU, "cpu"))
		if err != nil {
			n = i
		}
		out = append(out, CPU{Number: n, User: t.User, Nice: t.Nice, System: t.System, Idle: t.Idle,
			IOWait: t.Iowait, Interrupt: t.Irq, SoftInterrupt: t.Softirq, Steal: t.Steal})
	}
	return out, nil
}

// Cores counts logical processors and physical cores.
func (h *Host) Cores(ctx context.Context) (logical, physical int, err error) {
	if logical, err = cpu.CountsWithContext(h.context(ctx), true); err != nil {
		return 0, 0, fmt.Errorf("counting processors: %w", err)
	}
	if physical, err = cpu.CountsWithContext(h.context(ctx), false); err != nil {
		return 0, 0, fmt.Errorf("counting cores: %w", err)
	}
	return logical, physical, nil
}

// Frequency is how fast a processor runs now, in hertz.
func (h *Host) Frequency(cpu int) (float64, error) {
	khz, err := readNumber(h.Path(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", cpu)))
	return khz * 1000, err
}

// Load gives the load averages of 1, 5 and 15 minutes.
func (h *Host) Load(ctx context.Context) (*load.AvgStat, error) {
	avg, err := load.AvgWithContext(h.context(ctx))
	if err != nil {
		return nil, fmt.Errorf("reading load averages: %w", err)
	}
	return avg, nil
}

// Memory gives the use of memory, in bytes.
func (h *Host) Memory(ctx context.Context) (*mem.VirtualMemoryStat, error) {
	m, err := mem.VirtualMemoryWithContext(h.context(ctx))
	if err == nil && m.Total == 0 {
		err = fmt.Errorf("%s tells no total", h.Path("/proc/meminfo"))
	}
	if err != nil {
		return nil, fmt.Errorf("reading memory: %w", err)
	}
	return m, nil
}

// Paging is what the kernel moved between memory and disks since the boot.
type Paging struct {
	MajorFaults, MinorFaults uint64 // faults
	PagesIn, PagesOut        uint64 // from and to block devices, for files too, in KiB as Linux counts them
	SwapIn, SwapOut          uint64 // pages
}

// Paging reads the counters of paging.
func (h *Host) Paging() (Paging, error) {
	data, err := readWhole(h.Path("/proc/vmstat"))
	if err != nil {
		return Paging{}, fmt.Errorf("reading paging: %w", err)
	}
	return parsePaging(data), nil
}

func parsePaging(data []byte) (p Paging) {
	var faults uint64
	eachPair(data, func(key []byte, v uint64) {
		switch string(key) {
		case "pgfault":
			faults = v
		case "pgmajfault":
			p.MajorFaults = v
		case "pgpgin":
			p.PagesIn = v
		case "pgpgout":
			p.PagesOut = v
		case "pswpin":
			p.SwapIn = v
		case "pswpout":
			p.SwapOut = v
		}
	})
	p.MinorFaults = faults - min(p.MajorFaults, faults)
	return p
}

// eachPair calls f for each line "key value", also "key: value kB".
func eachPair(data []byte, f func(key []byte, v uint64)) {
	for line := range bytes.Lines(data) {
		key, rest, ok := bytes.Cut(line, []byte{' '})
		if !ok {
			if key, rest, ok = bytes.Cut(line, []byte{'\t'}); !ok {
				continue
			}
		}
		if fields := bytes.Fields(rest); len(fields) > 0 {
			if v, err := strconv.ParseUint(string(fields[0]), 10, 64); err == nil {
				f(bytes.TrimSuffix(key, []byte{':'}), v)
			}
		}
	}
}

// Swaps lists the places that memory is swapped to.
func (h *Host) Swaps(ctx context.Context) ([]*mem.SwapDevice, error) {
	all, err := mem.SwapDevicesWithContext(h.context(ctx))
	if err != nil {
		return nil, fmt.Errorf("reading swap devices: %w", err)
	}
	return all, nil
}

// Disks gives the counters of each block device that was used.
func (h *Host) Disks(ctx context.Context) (map[string]disk.IOCountersStat, error) {
	all, err := disk.IOCountersWithContext(h.context(ctx))
	if err != nil {
		return nil, fmt.Errorf("reading disk counters: %w", err)
	}
	return all, nil
}

// DiskSize is how much a block device holds, in bytes.
func (h *Host) DiskSize(device string) (uint64, error) {
	link, err := filepath.EvalSymlinks(h.Path("/sys/class/block/" + filepath.Base(device)))
	if err != nil {
		return 0, err
	}
	sectors, err := readNumber(filepath.Join(link, "size"))
	return uint64(max(sectors, 0)) * 512, err
}

// Mounts lists file systems that are mounted; all of them with virtual ones. Those
// of our own mount name space come first in the way of [Host.first].
func (h *Host) Mounts(ctx context.Context, virtual bool) ([]disk.PartitionStat, error) {
	all, err := disk.PartitionsWithContext(h.context(ctx), virtual)
	if err != nil {
		return nil, fmt.Errorf("reading mounts: %w", err)
	}
	return all, nil
}

// Usage tells how full the file system mounted at a place is.
func (h *Host) Usage(ctx context.Context, mountpoint string) (*disk.UsageStat, error) {
	return disk.UsageWithContext(h.context(ctx), h.Path(mountpoint))
}

// Interfaces gives the counters of each network interface.
func (h *Host) Interfaces(ctx context.Context) ([]net.IOCountersStat, error) {
	all, err := h.interfaces(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading interface counters: %w", err)
	}
	return all, nil
}

// Boot is when the host started, and Uptime how long ago.
func (h *Host) Boot() (boot time.Time, up time.Duration, err error) {
	up, err = h.uptime()
	if err != nil {
		return time.Time{}, 0, fmt.Errorf("reading the time since the boot: %w", err)
	}
	return time.Now().Add(-up), up, nil
}

// Conntrack tells how many connections the firewall keeps track of, and how many it may.
func (h *Host) Conntrack() (count, limit int64, err error) {
	c, err := readNumber(h.Path("/proc/sys/net/netfilter/nf_conntrack_count"))
	if err != nil {
		return 0, 0, err
	}
	m, err := readNumber(h.Path("/proc/sys/net/netfilter/nf_conntrack_max"))
	return int64(c), int64(m), err
}

// readWhole reads a file of /proc, which tells no size, up to a bound.
func readWhole(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, nil)
}

func readAll(f *os.File, buf []byte) ([]byte, error) {
	if cap(buf) == 0 {
		buf = make([]byte, 0, 4096)
	}
	buf = buf[:0]
	for len(buf) < maxFile {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil || n == 0 {
			if err != nil && !errors.Is(err, io.EOF) {
				return buf, err
			}
			return buf, nil
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
	return buf, fmt.Errorf("%s is longer than %d MiB", f.Name(), maxFile>>20)
}
