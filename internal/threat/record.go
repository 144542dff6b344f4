package threat

import "github.com/monban/monban/internal/event"

// Severities, in rising order.
const (
	Low      = "low"
	Medium   = "medium"
	High     = "high"
	Critical = "critical"
)

// Report is one incident as it stands. Later revisions of the same ID replace
// earlier ones.
type Report struct {
	Time       int64  // Unix nanoseconds of the last evidence; the log record's timestamp
	ID         string // stable over revisions and restarts
	Revision   uint32 // from 1
	Status     string // "open", or "closed" once idle
	Class      string // e.g. "port_scan", "exfiltration", "unknown"
	Title      string // the class in words
	Confidence float64
	Severity   string
	Device     string // id of the device that acts
	DeviceName string
	Victims    []string // ids or addresses, at most 16
	First      int64    // first evidence
	Last       int64
	Summary    string   // one plain sentence: expected against seen
	Expected   string   // what is usual
	Seen       string   // what was seen instead
	Evidence   []string // kinds of evidence, strongest first, "port_sweep ×3"
	Flows      uint64   // flows that count as evidence
	Packets    uint64
	Bytes      uint64
	Community  []string // Community IDs of some of them, at most 16
	Runner     string   // the next likely class and its confidence, "host_scan 0.12"
	Enterprise []string // ATT&CK Enterprise techniques, "T1046 Network Service Discovery"
	ICS        []string // ATT&CK for ICS techniques
	Action     string   // what to do next
}

// Reports is the one definition of a threat report event.
var Reports = event.NewTable("threat.report", "An incident: what is out of the ordinary, which kind of attack it looks like, and why. A later revision of an id replaces the earlier.", []event.Field[Report]{
	event.Text("report.id", "Stable over revisions and restarts", func(r *Report) *string { return &r.ID }),
	event.Number("report.revision", "", "From 1; the latest stands", func(r *Report) *uint32 { return &r.Revision }),
	event.Text("report.status", "open or closed", func(r *Report) *string { return &r.Status }),
	event.Text("report.class", "Which kind of incident; unknown is an answer", func(r *Report) *string { return &r.Class }).ECS("rule.id"),
	event.Text("security_rule.name", "The class in words", func(r *Report) *string { return &r.Title }).ECS("rule.name"),
	event.Real("report.confidence", "1", "How sure of the class, 0 to 1", func(r *Report) *float64 { return &r.Confidence }),
	event.Text("report.severity", "low, medium, high or critical", func(r *Report) *string { return &r.Severity }),
	event.Text("device.id", "Inventory id of the device that acts", func(r *Report) *string { return &r.Device }).ECS("device.id"),
	event.Text("device.name", "Its name", func(r *Report) *string { return &r.DeviceName }).ECS("host.name"),
	event.Texts("report.victims", "Devices or addresses acted upon", func(r *Report) *[]string { return &r.Victims }),
	event.Instant("report.first_seen", "First evidence", func(r *Report) *int64 { return &r.First }).ECS("event.start"),
	event.Instant("report.last_seen", "Latest evidence", func(r *Report) *int64 { return &r.Last }).ECS("event.end"),
	event.Text("report.summary", "Expected against seen, in one sentence", func(r *Report) *string { return &r.Summary }).ECS("event.reason"),
	event.Text("report.expected", "What is usual", func(r *Report) *string { return &r.Expected }),
	event.Text("report.seen", "What was seen instead", func(r *Report) *string { return &r.Seen }),
	event.Texts("report.evidence", "Kinds of evidence, strongest first", func(r *Report) *[]string { return &r.Evidence }),
	event.Number("report.flows", "{flow}", "Flows that count as evidence", func(r *Report) *uint64 { return &r.Flows }),
	event.Number("report.packets", "{packet}", "Their packets", func(r *Report) *uint64 { return &r.Packets }).ECS("network.packets"),
	event.Number("report.bytes", "By", "Their bytes", func(r *Report) *uint64 { return &r.Bytes }).ECS("network.bytes"),
	event.Texts("report.community_ids", "Community IDs of some of them", func(r *Report) *[]string { return &r.Community }).ECS("network.community_id"),
	event.Text("report.runner_up", "The next likely class and its confidence", func(r *Report) *string { return &r.Runner }),
	event.Texts("threat.technique.enterprise", "ATT&CK Enterprise techniques", func(r *Report) *[]string { return &r.Enterprise }),
	event.Texts("threat.technique.ics", "ATT&CK for ICS techniques", func(r *Report) *[]string { return &r.ICS }),
	event.Text("report.action", "What to do next", func(r *Report) *string { return &r.Action }),
})
