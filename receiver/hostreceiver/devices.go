package hostreceiver

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/monban/monban/internal/host"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

func buildDisk(r *reading, cfg *DiskConfig) func(context.Context, pcommon.Timestamp) partial {
	include, exclude := cfg.Include.picker("devices"), cfg.Exclude.picker("devices")
	const read, write = metadata.AttributeDiskIoDirectionRead, metadata.AttributeDiskIoDirectionWrite
	seconds := func(ms uint64) float64 { return float64(ms) / 1000 }
	return func(ctx context.Context, now pcommon.Timestamp) partial {
		all, err := r.host.Disks(ctx)
		for name, d := range all {
			if !wanted(name, include, exclude) {
				continue
			}
			r.mb.RecordSystemDiskIoDataPoint(now, int64(d.ReadBytes), name, read)
			r.mb.RecordSystemDiskIoDataPoint(now, int64(d.WriteBytes), name, write)
			r.mb.RecordSystemDiskIoTimeDataPoint(now, seconds(d.IoTime), name)
			r.mb.RecordSystemDiskMergedDataPoint(now, int64(d.MergedReadCount), name, read)
			r.mb.RecordSystemDiskMergedDataPoint(now, int64(d.MergedWriteCount), name, write)
			r.mb.RecordSystemDiskOperationTimeDataPoint(now, seconds(d.ReadTime), name, read)
			r.mb.RecordSystemDiskOperationTimeDataPoint(now, seconds(d.WriteTime), name, write)
			r.mb.RecordSystemDiskOperationsDataPoint(now, int64(d.ReadCount), name, read)
			r.mb.RecordSystemDiskOperationsDataPoint(now, int64(d.WriteCount), name, write)
			r.mb.RecordSystemDiskPendingOperationsDataPoint(now, int64(d.IopsInProgress), name)
			r.mb.RecordSystemDiskWeightedIoTimeDataPoint(now, seconds(d.WeightedIO), name)
			if cfg.Metrics.SystemDiskLimit.Enabled {
				size, err := r.host.DiskSize(name)
				if r.faults.Note(err); err == nil {
					r.mb.RecordSystemDiskLimitDataPoint(now, int64(size), name)
				}
			}
		}
		return must(err, 7)
	}
}

func buildFilesystem(r *reading, cfg *FilesystemConfig) func(context.Context, pcommon.Timestamp) partial {
	devices, noDevices := cfg.IncludeDevices.picker("devices"), cfg.ExcludeDevices.picker("devices")
	types, noTypes := cfg.IncludeTypes.picker("fs_types"), cfg.ExcludeTypes.picker("fs_types")
	points, noPoints := cfg.IncludeMountPoints.picker("mount_points"), cfg.ExcludeMountPoints.picker("mount_points")
	return func(ctx context.Context, now pcommon.Timestamp) (p partial) {
		all, err := r.host.Mounts(ctx, cfg.IncludeVirtual)
		p.add(err, 2)
		seen := map[[2]string]bool{}
		for _, m := range all {
			if !wanted(m.Device, devices, noDevices) || !wanted(m.Fstype, types, noTypes) || !wanted(m.Mountpoint, points, noPoints) {
				continue
			}
			key := [2]string{m.Device, m.Mountpoint}
			if seen[key] { // mounted one over the other: the upper counts, and statfs tells of it both times
				continue
			}
			seen[key] = true
			u, err := r.host.Usage(ctx, m.Mountpoint)
			if err != nil { // a place of another user, or gone since
				r.faults.Note(err)
				continue
			}
			mode := "unknown"
			switch {
			case slices.Contains(m.Opts, "rw"):
				mode = "rw"
			case slices.Contains(m.Opts, "ro"):
				mode = "ro"
			}
			reserved := u.Total - min(u.Used+u.Free, u.Total)
			usage := func(v uint64, s metadata.AttributeSystemFilesystemState) {
				r.mb.RecordSystemFilesystemUsageDataPoint(now, int64(v), m.Device, mode, m.Mountpoint, m.Fstype, s)
			}
			usage(u.Used, metadata.AttributeSystemFilesystemStateUsed)
			usage(u.Free, metadata.AttributeSystemFilesystemStateFree)
			usage(reserved, metadata.AttributeSystemFilesystemStateReserved)
			r.mb.RecordSystemFilesystemLimitDataPoint(now, int64(u.Total), m.Device, mode, m.Mountpoint, m.Fstype)
			if can := u.Used + u.Free; can > 0 {
				r.mb.RecordSystemFilesystemUtilizationDataPoint(now, float64(u.Used)/float64(can), m.Device, mode, m.Mountpoint, m.Fstype)
			}
			if u.InodesTotal > 0 { // btrfs and others make them as they need them
				inodes := func(v uint64, s metadata.AttributeSystemFilesystemState) {
					r.mb.RecordSystemFilesystemInodesUsageDataPoint(now, int64(v), m.Device, mode, m.Mountpoint, m.Fstype, s)
				}
				inodes(u.InodesUsed, metadata.AttributeSystemFilesystemStateUsed)
				inodes(u.InodesFree, metadata.AttributeSystemFilesystemStateFree)
			}
		}
		return p
	}
}

func buildNetwork(r *reading, cfg *NetworkConfig) func(context.Context, pcommon.Timestamp) partial {
	include, exclude := cfg.Include.picker("interfaces"), cfg.Exclude.picker("interfaces")
	const send, receive = metadata.AttributeNetworkIoDirectionTransmit, metadata.AttributeNetworkIoDirectionReceive
	r.tidy = withoutEmptyStates
	if r.contrib {
		r.tidy = nil
	}
	on := cfg.Metrics
	return func(ctx context.Context, now pcommon.Timestamp) (p partial) {
		all, err := r.host.Interfaces(ctx)
		p.add(err, 4)
		for _, i := range all {
			if !wanted(i.Name, include, exclude) {
				continue
			}
			r.mb.RecordSystemNetworkIoDataPoint(now, int64(i.BytesSent), i.Name, send)
			r.mb.RecordSystemNetworkIoDataPoint(now, int64(i.BytesRecv), i.Name, receive)
			r.mb.RecordSystemNetworkErrorsDataPoint(now, int64(i.Errout), i.Name, send)
			r.mb.RecordSystemNetworkErrorsDataPoint(now, int64(i.Errin), i.Name, receive)
			r.mb.RecordSystemNetworkPacketCountDataPoint(now, int64(i.PacketsSent), i.Name, send)
			r.mb.RecordSystemNetworkPacketCountDataPoint(now, int64(i.PacketsRecv), i.Name, receive)
			r.mb.RecordSystemNetworkPacketDroppedDataPoint(now, int64(i.Dropout), i.Name, send)
			r.mb.RecordSystemNetworkPacketDroppedDataPoint(now, int64(i.Dropin), i.Name, receive)
		}
		if on.SystemNetworkConnectionCount.Enabled {
			c, err := r.host.Connections(r.faults)
			p.add(err, 1)
			if err == nil {
				for n, state := range host.ConnectionStates {
					r.mb.RecordSystemNetworkConnectionCountDataPoint(now, c.TCP[n], metadata.AttributeNetworkTransportTCP, state)
				}
				if r.contrib { // which counts those of TCP only
					return p
				}
				r.mb.RecordSystemNetworkConnectionCountDataPoint(now, c.UDP, metadata.AttributeNetworkTransportUDP, "")
			}
		}
		if on.SystemNetworkConntrackCount.Enabled || on.SystemNetworkConntrackMax.Enabled {
			count, limit, err := r.host.Conntrack()
			if r.faults.Note(err); err == nil { // there is none without a firewall that needs it
				r.mb.RecordSystemNetworkConntrackCountDataPoint(now, count)
				r.mb.RecordSystemNetworkConntrackMaxDataPoint(now, limit)
			}
		}
		return p
	}
}

// withoutEmptyStates leaves the state of what has none out.
func withoutEmptyStates(md pmetric.Metrics) {
	for _, m := range eachMetric(md) {
		if !strings.HasPrefix(m.Name(), "system.network.connection") {
			continue
		}
		for _, p := range points(m).All() {
			p.Attributes().RemoveIf(func(k string, v pcommon.Value) bool { return k == "network.connection.state" && v.Str() == "" })
		}
	}
}
