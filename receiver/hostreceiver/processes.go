package hostreceiver

import (
	"context"
	"maps"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/host"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// processStates are the kernel's letters in the words of semantic conventions; contribStates
// has those which they do not tell apart.
var (
	processStates = map[byte]metadata.AttributeProcessState{
		'R': metadata.AttributeProcessStateRunning, 'S': metadata.AttributeProcessStateSleeping,
		'D': metadata.AttributeProcessStateSleeping, 'I': metadata.AttributeProcessStateSleeping,
		'T': metadata.AttributeProcessStateStopped, 't': metadata.AttributeProcessStateStopped,
		'Z': metadata.AttributeProcessStateDefunct, 'X': metadata.AttributeProcessStateDefunct,
	}
	contribStates = map[byte]metadata.AttributeProcessState{
		'D': metadata.AttributeProcessStateBlocked, 'I': metadata.AttributeProcessStateIdle,
	}
)

func buildProcesses(r *reading, cfg *ScraperConfig) func(context.Context, pcommon.Timestamp) partial {
	return func(_ context.Context, now pcommon.Timestamp) (p partial) {
		if cfg.Metrics.SystemProcessCount.Enabled {
			n := map[metadata.AttributeProcessState]int64{}
			err := r.host.Processes(r.faults, func(p *host.Process) {
				state, ok := contribStates[p.State]
				if !ok || !r.contrib {
					if state, ok = processStates[p.State]; !ok {
						state = metadata.AttributeProcessStateSleeping // parked, or waking up
					}
				}
				n[state]++
			})
			p.add(err, 1)
			for state := range maps.Values(processStates) { // those of which there is none, too
				if _, ok := n[state]; !ok && err == nil {
					n[state] = 0
				}
			}
			for state, count := range n {
				r.mb.RecordSystemProcessCountDataPoint(now, count, state)
			}
		}
		if cfg.Metrics.SystemProcessCreated.Enabled {
			created, err := r.host.Created()
			p.add(err, 1)
			if err == nil {
				r.mb.RecordSystemProcessCreatedDataPoint(now, int64(created))
			}
		}
		return p
	}
}

// processBuilder takes what is said of processes from their scraper, of the host from the receiver.
func (s *source) processBuilder(c *ProcessConfig) metadata.MetricsBuilderConfig {
	a := s.cfg.ResourceAttributes
	own := c.ResourceAttributes
	a.ProcessCgroup, a.ProcessCommand, a.ProcessCommandLine = own.ProcessCgroup, own.ProcessCommand, own.ProcessCommandLine
	a.ProcessExecutableName, a.ProcessExecutablePath = own.ProcessExecutableName, own.ProcessExecutablePath
	a.ProcessOwner, a.ProcessParentPid, a.ProcessPid = own.ProcessOwner, own.ProcessParentPid, own.ProcessPid
	return metadata.MetricsBuilderConfig{Metrics: c.Metrics, ResourceAttributes: a}
}

// known is what is kept of a process from one reading to the next.
type known struct {
	start        time.Duration
	comm         string // changes when another program takes its place
	wanted       bool
	detail       host.Detail
	resource     pcommon.Resource
	at           pcommon.Timestamp
	user, system float64 // seconds of a processor
	waited       float64
	round        uint64
}

type processReading struct {
	*reading
	cfg              *ProcessConfig
	builder          metadata.MetricsBuilderConfig
	include, exclude picker
	users            *host.Users
	known            map[int32]*known
	round            uint64
	said             map[host.Part]bool
}

func buildProcess(r *reading, cfg *ProcessConfig) func(context.Context, pcommon.Timestamp) partial {
	pr := &processReading{reading: r, cfg: cfg, builder: r.processBuilder(cfg), users: r.host.Users(), known: map[int32]*known{}, said: map[host.Part]bool{},
		include: cfg.Include.picker("names"), exclude: cfg.Exclude.picker("names")}
	return pr.read
}

// muted reports whether a part that can't be read is not to be logged.
func (r *processReading) muted(part host.Part) bool {
	c := r.cfg
	return c.MuteAll || map[host.Part]bool{host.PartName: c.MuteName, host.PartExe: c.MuteExe, host.PartIO: c.MuteIO,
		host.PartUser: c.MuteUser, host.PartCgroup: c.MuteCgroup}[part]
}

// failed counts a part that can't be read, and says so once.
func (r *processReading) failed(part host.Part, err error) {
	r.faults.Note(err)
	if host.FaultOf(err) == host.Vanished || r.said[part] || r.muted(part) {
		return
	}
	r.said[part] = true
	r.log.Warn("A part of some processes can't be read; it is left out, and counted in host_unreadable from now on. Those of other users need CAP_SYS_PTRACE.",
		zap.String("part", string(part)), zap.Error(err))
}

func (r *processReading) read(ctx context.Context, now pcommon.Timestamp) (p partial) {
	_, up, err := r.host.Boot()
	if err != nil {
		return must(err, 1)
	}
	var cores, memory float64
	if r.cfg.Metrics.ProcessCPUUtilization.Enabled {
		logical, _, err := r.host.Cores(ctx)
		p.add(err, 1)
		cores = float64(logical)
	}
	if r.cfg.Metrics.ProcessMemoryUtilization.Enabled {
		m, err := r.host.Memory(ctx)
		if p.add(err, 1); err == nil {
			memory = float64(m.Total)
		}
	}
	r.round++
	err = r.host.Processes(r.faults, func(proc *host.Process) {
		k := r.known[proc.PID]
		if k == nil || k.start != proc.Start || k.comm != proc.Name {
			k = r.meet(proc)
		}
		k.round = r.round
		if !k.wanted || up-proc.Start < r.cfg.ScrapeProcessDelay {
			return
		}
		r.record(proc, k, now, up, cores, memory)
		r.mb.EmitForResource(withResource(k.resource), metadata.WithStartTimeOverride(pcommon.NewTimestampFromTime(r.boot.Add(proc.Start))))
	})
	p.add(err, 1)
	maps.DeleteFunc(r.known, func(_ int32, k *known) bool { return k.round != r.round })
	return p
}

// withResource copies, as what is emitted is the consumer's.
func withResource(res pcommon.Resource) metadata.ResourceMetricsOption {
	out := pcommon.NewResource()
	res.CopyTo(out)
	return metadata.WithResource(out)
}

// meet reads what stays the same of a process, once, if it is wanted at all.
func (r *processReading) meet(proc *host.Process) *known {
	k := &known{start: proc.Start, comm: proc.Name}
	r.known[proc.PID] = k
	// A name of 15 bytes may be cut off, so that only the command line tells.
	if len(proc.Name) < 15 && !wanted(proc.Name, r.include, r.exclude) {
		return k
	}
	k.detail = r.host.Detail(proc, r.users, r.failed)
	if k.wanted = wanted(k.detail.Name, r.include, r.exclude); !k.wanted {
		k.detail = host.Detail{}
		return k
	}
	rb := metadata.NewResourceBuilder(r.builder.ResourceAttributes)
	rb.SetProcessPid(int64(proc.PID))
	rb.SetProcessParentPid(int64(proc.Parent))
	d := &k.detail
	rb.SetProcessExecutableName(d.Name)
	for _, a := range []struct {
		set   func(string)
		value string
	}{{rb.SetProcessExecutablePath, d.Executable}, {rb.SetProcessOwner, d.Owner}, {rb.SetProcessCgroup, d.Cgroup}} {
		if a.value != "" {
			a.set(a.value)
		}
	}
	if len(d.CommandLine) > 0 {
		rb.SetProcessCommand(d.CommandLine[0])
		rb.SetProcessCommandLine(strings.Join(d.CommandLine, " "))
	}
	k.resource = r.copyResource()
	for key, v := range rb.Emit().Attributes().All() {
		v.CopyTo(k.resource.Attributes().PutEmpty(key))
	}
	return k
}

func (r *processReading) record(proc *host.Process, k *known, now pcommon.Timestamp, up time.Duration, cores, memory float64) {
	const user, system, wait = metadata.AttributeCPUModeUser, metadata.AttributeCPUModeSystem, metadata.AttributeCPUModeIowait
	const read, write = metadata.AttributeDiskIoDirectionRead, metadata.AttributeDiskIoDirectionWrite
	on, mb := &r.cfg.Metrics, r.mb
	mb.RecordProcessCPUTimeDataPoint(now, proc.User, user)
	mb.RecordProcessCPUTimeDataPoint(now, proc.System, system)
	if r.contrib {
		mb.RecordProcessCPUTimeDataPoint(now, proc.Waited, wait)
	}
	if elapsed := now.AsTime().Sub(k.at.AsTime()).Seconds(); cores > 0 && k.at != 0 && elapsed > 0 {
		mb.RecordProcessCPUUtilizationDataPoint(now, max(proc.User-k.user, 0)/elapsed/cores, user)
		mb.RecordProcessCPUUtilizationDataPoint(now, max(proc.System-k.system, 0)/elapsed/cores, system)
		if r.contrib {
			mb.RecordProcessCPUUtilizationDataPoint(now, max(proc.Waited-k.waited, 0)/elapsed/cores, wait)
		}
	}
	k.at, k.user, k.system, k.waited = now, proc.User, proc.System, proc.Waited
	mb.RecordProcessMemoryUsageDataPoint(now, int64(proc.Resident))
	mb.RecordProcessMemoryVirtualDataPoint(now, int64(proc.Virtual))
	if memory > 0 {
		mb.RecordProcessMemoryUtilizationDataPoint(now, float64(proc.Resident)/memory)
	}
	mb.RecordProcessThreadCountDataPoint(now, proc.Threads)
	mb.RecordProcessPagingFaultsDataPoint(now, int64(proc.MajorFaults), metadata.AttributeSystemPagingFaultTypeMajor)
	mb.RecordProcessPagingFaultsDataPoint(now, int64(proc.MinorFaults), metadata.AttributeSystemPagingFaultTypeMinor)
	mb.RecordProcessUptimeDataPoint(now, max(up-proc.Start, 0).Seconds())
	if on.ProcessDiskIo.Enabled || on.ProcessDiskOperations.Enabled {
		if io, err := r.host.IO(proc.PID); err != nil {
			r.failed(host.PartIO, err)
		} else {
			mb.RecordProcessDiskIoDataPoint(now, int64(io.ReadBytes), read)
			mb.RecordProcessDiskIoDataPoint(now, int64(io.WrittenBytes), write)
			mb.RecordProcessDiskOperationsDataPoint(now, int64(io.Reads), read)
			mb.RecordProcessDiskOperationsDataPoint(now, int64(io.Writes), write)
		}
	}
	if on.ProcessContextSwitches.Enabled || on.ProcessSignalsPending.Enabled {
		s, err := r.host.Status(proc.PID)
		if r.faults.Note(err); err == nil {
			mb.RecordProcessContextSwitchesDataPoint(now, int64(s.Voluntary), metadata.AttributeProcessContextSwitchTypeVoluntary)
			mb.RecordProcessContextSwitchesDataPoint(now, int64(s.Involuntary), metadata.AttributeProcessContextSwitchTypeInvoluntary)
			mb.RecordProcessSignalsPendingDataPoint(now, s.SignalsPending)
		}
	}
	if on.ProcessUnixFileDescriptorCount.Enabled {
		n, err := r.host.Descriptors(proc.PID)
		if r.faults.Note(err); err == nil {
			mb.RecordProcessUnixFileDescriptorCountDataPoint(now, int64(n))
		}
	}
}
