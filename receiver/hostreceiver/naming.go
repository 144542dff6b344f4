package hostreceiver

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// scraperOf says which scraper each metric is of.
var scraperOf = map[string]string{
	"hw.fan.speed": "sensors", "hw.temperature": "sensors",
	"process.context_switches": "process", "process.cpu.time": "process", "process.cpu.utilization": "process",
	"process.disk.io": "process", "process.disk.operations": "process", "process.memory.usage": "process",
	"process.memory.utilization": "process", "process.memory.virtual": "process", "process.paging.faults": "process",
	"process.signals_pending": "process", "process.thread.count": "process",
	"process.unix.file_descriptor.count": "process", "process.uptime": "process",
	"system.cpu.frequency": "cpu", "system.cpu.logical.count": "cpu", "system.cpu.physical.count": "cpu",
	"system.cpu.time": "cpu", "system.cpu.utilization": "cpu",
	"system.cpu.load_average.1m": "load", "system.cpu.load_average.5m": "load", "system.cpu.load_average.15m": "load",
	"system.disk.io": "disk", "system.disk.io_time": "disk", "system.disk.limit": "disk", "system.disk.merged": "disk",
	"system.disk.operation_time": "disk", "system.disk.operations": "disk", "system.disk.pending_operations": "disk",
	"system.disk.weighted_io_time":   "disk",
	"system.filesystem.inodes.usage": "filesystem", "system.filesystem.limit": "filesystem",
	"system.filesystem.usage": "filesystem", "system.filesystem.utilization": "filesystem",
	"system.linux.memory.dirty": "memory", "system.memory.limit": "memory", "system.memory.linux.available": "memory",
	"system.memory.linux.hugepages.limit": "memory", "system.memory.linux.hugepages.page_size": "memory",
	"system.memory.linux.hugepages.reserved": "memory", "system.memory.linux.hugepages.surplus": "memory",
	"system.memory.linux.hugepages.usage": "memory", "system.memory.linux.hugepages.utilization": "memory",
	"system.memory.linux.shared": "memory", "system.memory.linux.slab.usage": "memory", "system.memory.page_size": "memory",
	"system.memory.usage": "memory", "system.memory.utilization": "memory",
	"system.network.connection.count": "network", "system.network.conntrack.count": "network",
	"system.network.conntrack.max": "network", "system.network.errors": "network", "system.network.io": "network",
	"system.network.packet.count": "network", "system.network.packet.dropped": "network",
	"system.paging.faults": "paging", "system.paging.operations": "paging", "system.paging.usage": "paging",
	"system.paging.utilization": "paging",
	"system.process.count":      "processes", "system.process.created": "processes",
	"system.uptime": "system",
}

// contribNames are what contrib's receiver calls the metrics that it names otherwise.
var contribNames = map[string]string{
	"process.thread.count":               "process.threads",
	"process.unix.file_descriptor.count": "process.open_file_descriptors",
	"system.memory.linux.available":      "system.linux.memory.available",
	"system.network.connection.count":    "system.network.connections",
	"system.network.packet.count":        "system.network.packets",
	"system.network.packet.dropped":      "system.network.dropped",
	"system.process.count":               "system.processes.count",
	"system.process.created":             "system.processes.created",
}

var fromContrib = func() map[string]string {
	m := map[string]string{}
	for own, theirs := range contribNames {
		m[theirs] = own
	}
	return m
}()

// contribKeys are its names of attributes.
var contribKeys = map[string]string{
	"cpu.logical_number":             "cpu",
	"cpu.mode":                       "state",
	"disk.io.direction":              "direction",
	"network.connection.state":       "state",
	"network.interface.name":         "device",
	"network.io.direction":           "direction",
	"network.transport":              "protocol",
	"process.context_switch.type":    "type",
	"process.state":                  "status",
	"system.device":                  "device",
	"system.filesystem.mode":         "mode",
	"system.filesystem.mountpoint":   "mountpoint",
	"system.filesystem.state":        "state",
	"system.filesystem.type":         "type",
	"system.memory.linux.slab.state": "state",
	"system.memory.state":            "state",
	"system.paging.direction":        "direction",
	"system.paging.fault.type":       "type",
	"system.paging.state":            "state",
}

// contribValues are its values where they differ, by our key and value.
var contribValues = map[[2]string]string{
	{"cpu.mode", "iowait"}:             "wait",
	{"system.memory.state", "buffers"}: "buffered",
	{"system.paging.direction", "in"}:  "page_in",
	{"system.paging.direction", "out"}: "page_out",
	{"process.state", "defunct"}:       "zombies",

	{"network.connection.state", ""}:             "NONE",
	{"network.connection.state", "closed"}:       "CLOSE",
	{"network.connection.state", "close_wait"}:   "CLOSE_WAIT",
	{"network.connection.state", "closing"}:      "CLOSING",
	{"network.connection.state", "established"}:  "ESTABLISHED",
	{"network.connection.state", "fin_wait_1"}:   "FIN_WAIT_1",
	{"network.connection.state", "fin_wait_2"}:   "FIN_WAIT_2",
	{"network.connection.state", "last_ack"}:     "LAST_ACK",
	{"network.connection.state", "listen"}:       "LISTEN",
	{"network.connection.state", "syn_received"}: "SYN_RECV",
	{"network.connection.state", "syn_sent"}:     "SYN_SENT",
	{"network.connection.state", "time_wait"}:    "TIME_WAIT",
}

// contribUnits are its units where they differ, by ours.
var contribUnits = map[string]string{
	"{connection}": "{connections}", "{context_switch}": "{count}", "{entry}": "{entries}", "{error}": "{errors}", "{fault}": "{faults}",
	"{file_descriptor}": "{count}", "{inode}": "{inodes}", "{operation}": "{operations}", "{packet}": "{packets}", "{process}": "{processes}",
	"{signal}": "{signals}",
}

// contribUnit is the unit that it has for a metric of ours.
func contribUnit(m pmetric.Metric) string {
	if m.Name() == "process.thread.count" { // load averages are in {thread} there, too
		return "{threads}"
	}
	if unit, ok := contribUnits[m.Unit()]; ok {
		return unit
	}
	return m.Unit()
}

// toContrib names metrics, units, attributes and values as contrib's receiver does.
func toContrib(md pmetric.Metrics) {
	for _, m := range eachMetric(md) {
		m.SetUnit(contribUnit(m))
		if theirs, ok := contribNames[m.Name()]; ok {
			m.SetName(theirs)
		}
		for _, p := range points(m).All() {
			was := pcommon.NewMap()
			p.Attributes().MoveTo(was)
			p.Attributes().EnsureCapacity(was.Len())
			for k, v := range was.All() {
				key, ok := contribKeys[k]
				if !ok {
					v.CopyTo(p.Attributes().PutEmpty(k))
					continue
				}
				text := v.AsString()
				if k == "cpu.logical_number" {
					text = "cpu" + strconv.FormatInt(v.Int(), 10)
				}
				if value, ok := contribValues[[2]string{k, text}]; ok {
					text = value
				}
				p.Attributes().PutStr(key, text)
			}
		}
	}
}

// eachMetric gives all metrics of a batch.
func eachMetric(md pmetric.Metrics) func(func(int, pmetric.Metric) bool) {
	return func(yield func(int, pmetric.Metric) bool) {
		i := 0
		for _, rm := range md.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					if !yield(i, m) {
						return
					}
					i++
				}
			}
		}
	}
}

func points(m pmetric.Metric) pmetric.NumberDataPointSlice {
	if m.Type() == pmetric.MetricTypeSum {
		return m.Sum().DataPoints()
	}
	return m.Gauge().DataPoints()
}
