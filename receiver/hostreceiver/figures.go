package hostreceiver

import (
	"context"
	"os"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/monban/monban/internal/host"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// modes gives what a processor did, mode by mode. Interrupts are one mode in semantic
// conventions.
func (r *reading) modes(c *host.CPU, f func(metadata.AttributeCPUMode, float64)) {
	f(metadata.AttributeCPUModeUser, c.User)
	f(metadata.AttributeCPUModeSystem, c.System)
	f(metadata.AttributeCPUModeNice, c.Nice)
	f(metadata.AttributeCPUModeIdle, c.Idle)
	f(metadata.AttributeCPUModeIowait, c.IOWait)
	f(metadata.AttributeCPUModeSteal, c.Steal)
	if r.contrib {
		f(metadata.AttributeCPUModeInterrupt, c.Interrupt)
		f(metadata.AttributeCPUModeSoftirq, c.SoftInterrupt)
		return
	}
	f(metadata.AttributeCPUModeInterrupt, c.Interrupt+c.SoftInterrupt)
}

func buildCPU(r *reading, cfg *ScraperConfig) func(context.Context, pcommon.Timestamp) partial {
	before := map[int]host.CPU{}
	on := cfg.Metrics
	return func(ctx context.Context, now pcommon.Timestamp) (p partial) {
		all, err := r.host.CPUs(ctx)
		if err != nil {
			return must(err, 2)
		}
		for i := range all {
			c := &all[i]
			r.modes(c, func(mode metadata.AttributeCPUMode, v float64) {
				r.mb.RecordSystemCPUTimeDataPoint(now, v, int64(c.Number), mode)
			})
			if was, ok := before[c.Number]; ok && on.SystemCPUUtilization.Enabled {
				r.utilization(c, &was, now)
			}
			before[c.Number] = *c
			if on.SystemCPUFrequency.Enabled {
				if hz, err := r.host.Frequency(c.Number); err == nil {
					r.mb.RecordSystemCPUFrequencyDataPoint(now, hz, int64(c.Number))
				} else { // virtual machines tell none
					r.faults.Note(err)
				}
			}
		}
		if on.SystemCPULogicalCount.Enabled || on.SystemCPUPhysicalCount.Enabled {
			logical, physical, err := r.host.Cores(ctx)
			if err == nil {
				r.mb.RecordSystemCPULogicalCountDataPoint(now, int64(logical))
				r.mb.RecordSystemCPUPhysicalCountDataPoint(now, int64(physical))
			}
			p.add(err, 2)
		}
		return p
	}
}

// utilization is the share of each mode in the time between two readings. A processor that
// went back in time, as after it was taken out and put in again, has none.
func (r *reading) utilization(c, was *host.CPU, now pcommon.Timestamp) {
	total := c.Total() - was.Total()
	if total <= 0 {
		return
	}
	past := map[metadata.AttributeCPUMode]float64{}
	r.modes(was, func(mode metadata.AttributeCPUMode, v float64) { past[mode] = v })
	r.modes(c, func(mode metadata.AttributeCPUMode, v float64) {
		// Idle and waiting times may go back a little in the kernel's own books.
		r.mb.RecordSystemCPUUtilizationDataPoint(now, max(v-past[mode], 0)/total, int64(c.Number), mode)
	})
}

func buildLoad(r *reading, cfg *LoadConfig) func(context.Context, pcommon.Timestamp) partial {
	return func(ctx context.Context, now pcommon.Timestamp) partial {
		avg, err := r.host.Load(ctx)
		if err != nil {
			return must(err, 3)
		}
		by := 1.0
		if cfg.CPUAverage {
			logical, _, err := r.host.Cores(ctx)
			if err != nil {
				return must(err, 3)
			}
			by = float64(max(logical, 1))
		}
		r.mb.RecordSystemCPULoadAverage1mDataPoint(now, avg.Load1/by)
		r.mb.RecordSystemCPULoadAverage5mDataPoint(now, avg.Load5/by)
		r.mb.RecordSystemCPULoadAverage15mDataPoint(now, avg.Load15/by)
		return partial{}
	}
}

func buildMemory(r *reading, _ *ScraperConfig) func(context.Context, pcommon.Timestamp) partial {
	return func(ctx context.Context, now pcommon.Timestamp) partial {
		m, err := r.host.Memory(ctx)
		if err != nil {
			return must(err, 2)
		}
		state := func(s metadata.AttributeSystemMemoryState, v uint64) {
			r.mb.RecordSystemMemoryUsageDataPoint(now, int64(v), s)
			r.mb.RecordSystemMemoryUtilizationDataPoint(now, float64(v)/float64(m.Total), s)
		}
		rest := m.Free + m.Buffers + m.Cached
		state(metadata.AttributeSystemMemoryStateUsed, m.Total-min(rest, m.Total))
		state(metadata.AttributeSystemMemoryStateFree, m.Free)
		state(metadata.AttributeSystemMemoryStateBuffers, m.Buffers)
		state(metadata.AttributeSystemMemoryStateCached, m.Cached)
		if r.contrib {
			state(metadata.AttributeSystemMemoryStateSlabReclaimable, m.Sreclaimable)
			state(metadata.AttributeSystemMemoryStateSlabUnreclaimable, m.Sunreclaim)
		}
		r.mb.RecordSystemMemoryLimitDataPoint(now, int64(m.Total))
		r.mb.RecordSystemMemoryLinuxAvailableDataPoint(now, int64(m.Available))
		r.mb.RecordSystemMemoryLinuxSharedDataPoint(now, int64(m.Shared))
		r.mb.RecordSystemMemoryLinuxSlabUsageDataPoint(now, int64(m.Sreclaimable), metadata.AttributeSystemMemoryLinuxSlabStateReclaimable)
		r.mb.RecordSystemMemoryLinuxSlabUsageDataPoint(now, int64(m.Sunreclaim), metadata.AttributeSystemMemoryLinuxSlabStateUnreclaimable)
		r.mb.RecordSystemLinuxMemoryDirtyDataPoint(now, int64(m.Dirty))
		r.mb.RecordSystemMemoryPageSizeDataPoint(now, int64(os.Getpagesize()))
		used := m.HugePagesTotal - min(m.HugePagesFree, m.HugePagesTotal)
		r.mb.RecordSystemMemoryLinuxHugepagesLimitDataPoint(now, int64(m.HugePagesTotal))
		r.mb.RecordSystemMemoryLinuxHugepagesPageSizeDataPoint(now, int64(m.HugePageSize))
		r.mb.RecordSystemMemoryLinuxHugepagesReservedDataPoint(now, int64(m.HugePagesRsvd))
		r.mb.RecordSystemMemoryLinuxHugepagesSurplusDataPoint(now, int64(m.HugePagesSurp))
		r.mb.RecordSystemMemoryLinuxHugepagesUsageDataPoint(now, int64(m.HugePagesFree), metadata.AttributeSystemMemoryLinuxHugepagesStateFree)
		r.mb.RecordSystemMemoryLinuxHugepagesUsageDataPoint(now, int64(used), metadata.AttributeSystemMemoryLinuxHugepagesStateUsed)
		if m.HugePagesTotal > 0 {
			of := float64(m.HugePagesTotal)
			r.mb.RecordSystemMemoryLinuxHugepagesUtilizationDataPoint(now, float64(m.HugePagesFree)/of, metadata.AttributeSystemMemoryLinuxHugepagesStateFree)
			r.mb.RecordSystemMemoryLinuxHugepagesUtilizationDataPoint(now, float64(used)/of, metadata.AttributeSystemMemoryLinuxHugepagesStateUsed)
		}
		return partial{}
	}
}

func buildPaging(r *reading, _ *ScraperConfig) func(context.Context, pcommon.Timestamp) partial {
	return func(ctx context.Context, now pcommon.Timestamp) (p partial) {
		n, err := r.host.Paging()
		p.add(err, 2)
		if err == nil {
			r.mb.RecordSystemPagingFaultsDataPoint(now, int64(n.MajorFaults), metadata.AttributeSystemPagingFaultTypeMajor)
			r.mb.RecordSystemPagingFaultsDataPoint(now, int64(n.MinorFaults), metadata.AttributeSystemPagingFaultTypeMinor)
			op := r.mb.RecordSystemPagingOperationsDataPoint
			op(now, int64(n.SwapIn), metadata.AttributeSystemPagingDirectionIn, metadata.AttributeSystemPagingFaultTypeMajor)
			op(now, int64(n.SwapOut), metadata.AttributeSystemPagingDirectionOut, metadata.AttributeSystemPagingFaultTypeMajor)
			op(now, int64(n.PagesIn), metadata.AttributeSystemPagingDirectionIn, metadata.AttributeSystemPagingFaultTypeMinor)
			op(now, int64(n.PagesOut), metadata.AttributeSystemPagingDirectionOut, metadata.AttributeSystemPagingFaultTypeMinor)
		}
		swaps, err := r.host.Swaps(ctx)
		if err != nil && host.FaultOf(err) != host.Vanished { // a kernel without swapping has no list
			p.add(err, 1)
		}
		for _, s := range swaps {
			r.mb.RecordSystemPagingUsageDataPoint(now, int64(s.UsedBytes), s.Name, metadata.AttributeSystemPagingStateUsed)
			r.mb.RecordSystemPagingUsageDataPoint(now, int64(s.FreeBytes), s.Name, metadata.AttributeSystemPagingStateFree)
			if total := float64(s.UsedBytes + s.FreeBytes); total > 0 {
				r.mb.RecordSystemPagingUtilizationDataPoint(now, float64(s.UsedBytes)/total, s.Name, metadata.AttributeSystemPagingStateUsed)
				r.mb.RecordSystemPagingUtilizationDataPoint(now, float64(s.FreeBytes)/total, s.Name, metadata.AttributeSystemPagingStateFree)
			}
		}
		return p
	}
}

func buildSystem(r *reading, _ *ScraperConfig) func(context.Context, pcommon.Timestamp) partial {
	return func(_ context.Context, now pcommon.Timestamp) partial {
		_, up, err := r.host.Boot()
		if err == nil {
			r.mb.RecordSystemUptimeDataPoint(now, up.Round(10*time.Millisecond).Seconds())
		}
		return must(err, 1)
	}
}

func buildSensors(r *reading, _ *ScraperConfig) func(context.Context, pcommon.Timestamp) partial {
	return func(_ context.Context, now pcommon.Timestamp) partial {
		temperatures, fans := r.host.Sensors(r.faults)
		for _, s := range temperatures {
			r.mb.RecordHwTemperatureDataPoint(now, s.Value, s.ID, s.Label, s.Chip)
		}
		for _, s := range fans {
			r.mb.RecordHwFanSpeedDataPoint(now, int64(s.Value), s.ID, s.Label, s.Chip)
		}
		return partial{}
	}
}
