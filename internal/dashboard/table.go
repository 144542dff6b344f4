package dashboard

import "github.com/monban/monban/internal/threat"

// Names of events, as their tables have them.
const (
	flows        = "network.flow"
	floods       = "network.flood"
	sightings    = "network.sighting"
	inventory    = "device.inventory"
	baselines    = "device.baseline"
	observations = "device.observation"
	reports      = "threat.report"
	capture      = "network.capture"
	orchestrator = "collector.orchestrator"
	dataSource   = "collector.data_source"
	processor    = "collector.processor_manifest"
	pipeline     = "collector.pipeline"
	hostPosture  = "host.posture"
	forecasts    = "traffic.forecast"
)

// Columns that several panels have.
var (
	reportColumns = []string{"report.severity", "security_rule.name", "device.name", "report.summary", "report.action", "report.status", "report.revision"}
	flowColumns   = []string{"source.device.name", "source.address", "destination.device.name", "destination.address", "destination.port", "network.protocol.name", "network.bytes", "anomaly.score"}
)

// Dashboards are all of them. Those that ask Prometheus are for Grafana only.
func Dashboards() []Dashboard {
	return []Dashboard{overview(), incidents(), devices(), device(), conversations(), talkers(), commands(), traffic(), thresholds(), posture(), collector(), host(), telemetry(), hostTelemetry()}
}

func overview() Dashboard {
	return Dashboard{ID: "overview", Title: "Is it well?", Answers: "Is anything wrong at the site, and is Monban looking?", Panels: []Panel{
		{ID: "incidents", Title: "Incidents", Answers: "How many incidents are there?", Shape: Number, Events: []string{reports}, Values: []Value{Distinct("report.id", "incidents")}},
		{ID: "grave", Title: "Grave incidents", Answers: "How many of them are of severity high or critical?", Shape: Number, Events: []string{reports},
			Where: []Condition{Is("report.severity", "high", "critical")}, Values: []Value{Distinct("report.id", "incidents")}},
		{ID: "unusual", Title: "Unusual flows", Answers: "How many flows are out of the ordinary?", Shape: Number, Events: []string{flows},
			Where: []Condition{Has("anomaly.score")}, Values: []Value{Count("flows")}},
		{ID: "devices", Title: "Devices", Answers: "How many devices were told of?", Shape: Number, Events: []string{inventory}, Values: []Value{Distinct("device.id", "devices")}},
		{ID: "packets", Title: "Packets in flows", Answers: "Does traffic reach Monban?", Shape: Number, Events: []string{flows}, Values: []Value{Sum("network.packets", "packets")}},
		{ID: "dropped", Title: "Packets dropped", Answers: "Did Monban miss any, at one meter at most?", Shape: Number, Events: []string{capture}, Values: []Value{Max("capture.dropped", "packets")}, Quiet: true},
		{ID: "severities", Title: "Reports over time", Answers: "When was something reported, and how grave?", Shape: Lines, Events: []string{reports},
			Values: []Value{Count("reports")}, By: []Split{{"report.severity", "severity", 4}}},
		{ID: "directions", Title: "Flows over time", Answers: "Is there as much traffic as usual, and does it leave the site?", Shape: Lines, Events: []string{flows},
			Values: []Value{Count("flows")}, By: []Split{{"network.direction", "direction", 4}}},
		{ID: "latest", Title: "Latest reports", Answers: "What happened, and what is to be done?", Shape: Rows, Events: []string{reports}, Columns: reportColumns},
		{ID: "suspects", Title: "Devices with unusual flows", Answers: "Who behaves differently from before?", Shape: Table, Width: 12, Events: []string{flows},
			Where:  []Condition{Has("anomaly.score")},
			Values: []Value{Count("unusual flows"), Max("anomaly.score", "greatest score")}, By: []Split{{"source.device.id", "device id", 20}, {"source.device.name", "device", 3}}},
		{ID: "lasting", Title: "Floods and lasting changes", Answers: "What goes on that no single flow shows?", Shape: Rows, Width: 12, Events: []string{floods, observations}, Where: []Condition{news},
			Columns: []string{"event.action", "observation.summary", "observation.severity", "flood.state", "destination.address", "flood.flows"}, Quiet: true},
	}}
}

func incidents() Dashboard {
	return Dashboard{ID: "reports", Title: "Reports", Answers: "Which incidents are there, by whom, against whom, and how sure is it?", Panels: []Panel{
		{ID: "classes", Title: "Kinds of incident", Answers: "What happens here?", Shape: Bars, Events: []string{reports}, Values: []Value{Distinct("report.id", "incidents")}, By: []Split{{"security_rule.name", "kind", 15}}},
		{ID: "severity", Title: "By severity", Answers: "How grave are they?", Shape: Bars, Events: []string{reports}, Values: []Value{Distinct("report.id", "incidents")}, By: []Split{{"report.severity", "severity", 4}}},
		{ID: "techniques", Title: "ATT&CK techniques", Answers: "Which techniques do they look like?", Shape: Bars, Events: []string{reports}, Values: []Value{Distinct("report.id", "incidents")}, By: []Split{{"threat.technique.name", "technique", 15}}},
		{ID: "evidence", Title: "Evidence", Answers: "What is out of the ordinary, reported or not?", Shape: Bars, Events: []string{flows, floods, sightings, inventory, observations}, Values: []Value{Count("records")}, By: []Split{{"anomaly.reasons.kind", "evidence", 15}}},
		{ID: "actors", Title: "Who acts", Answers: "Which devices are reported, of what, and how sure is it?", Shape: Table, Width: 12, Events: []string{reports},
			Values: []Value{Distinct("report.id", "incidents"), Max("report.confidence", "confidence"), Max("event.risk_score", "risk")},
			By:     []Split{{"device.id", "device id", 20}, {"device.name", "device", 3}, {"security_rule.name", "kind", 5}}},
		{ID: "victims", Title: "Who is acted upon", Answers: "Whom did they reach for?", Shape: Table, Width: 12, Events: []string{reports},
			Values: []Value{Distinct("report.id", "incidents")}, By: []Split{{"report.victims", "victim", 20}}},
		{ID: "time", Title: "Reports over time", Answers: "When was what reported?", Shape: Lines, Width: 24, Events: []string{reports}, Values: []Value{Count("reports")}, By: []Split{{"security_rule.name", "kind", 10}}},
		{ID: "all", Title: "Reports", Answers: "What was expected, what was seen, and what is next?", Shape: Rows, Events: []string{reports},
			Columns: []string{"report.severity", "report.confidence", "security_rule.name", "device.name", "report.victims", "report.expected", "report.seen", "report.action", "report.runner_up", "report.community_ids"}},
	}}
}

func devices() Dashboard {
	return Dashboard{ID: "devices", Title: "Devices", Answers: "What is connected, what is new, and what is known of it?", Panels: []Panel{
		{ID: "known", Title: "Devices", Answers: "How many are there?", Shape: Number, Width: 8, Events: []string{inventory}, Values: []Value{Distinct("device.id", "devices")}},
		{ID: "new", Title: "Devices first seen", Answers: "How many came in this time?", Shape: Number, Width: 8, Events: []string{inventory}, Where: []Condition{Is("device.change", "new")}, Values: []Value{Distinct("device.id", "devices")}},
		{ID: "learned", Title: "Devices whose learning has ended", Answers: "Of how many is it known what is usual?", Shape: Number, Width: 8, Events: []string{baselines}, Where: []Condition{Is("baseline.learned", "true")}, Values: []Value{Distinct("device.id", "devices")}},
		{ID: "makers", Title: "Makers", Answers: "Who made them?", Shape: Bars, Width: 12, Events: []string{inventory}, Values: []Value{Distinct("device.id", "devices")}, By: []Split{{"device.manufacturer", "maker", 20}}},
		{ID: "arrivals", Title: "Arrivals and changes", Answers: "When did devices come, and when was more learned of them?", Shape: Lines, Width: 12, Events: []string{inventory}, Values: []Value{Count("records")}, By: []Split{{"device.change", "change", 2}}},
		{ID: "list", Title: "Inventory", Answers: "Which devices are there? A device that changed its name has a line for each.", Shape: Table, Width: 12, Events: []string{inventory},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"device.id", "device id", 200}, {"device.name", "name", 3}, {"device.manufacturer", "maker", 1}}},
		{ID: "baselines", Title: "Learning", Answers: "How far has it come, and how often will something be new?", Shape: Table, Width: 12, Events: []string{baselines},
			Values: []Value{Max("baseline.flows", "flows learned from"), Max("baseline.peers", "peers"), Max("baseline.chance_of_new", "chance of new"), Max(timestamp, "last told")},
			By:     []Split{{"device.id", "device id", 200}}},
		{ID: "changes", Title: "What was told of devices", Answers: "What showed them, and under which addresses?", Shape: Rows, Events: []string{inventory},
			Columns: []string{"device.change", "device.id", "device.name", "device.manufacturer", "device.addresses", "device.names", "device.vendor_class", "device.router", "device.evidence"}},
	}}
}

func device() Dashboard {
	return Dashboard{ID: "device", Title: "One device", Answers: "What is this device, what does it do, and is that usual?", Device: true, Panels: []Panel{
		{ID: "who", Title: "Who it is", Answers: "Name, maker, addresses, what showed it first", Shape: Rows, Width: 12, Events: []string{inventory},
			Columns: []string{"device.id", "device.name", "device.manufacturer", "device.addresses", "device.names", "device.evidence"}},
		{ID: "usual", Title: "What is usual", Answers: "What was learned of it, and is learning at its end?", Shape: Rows, Width: 12, Events: []string{baselines},
			Columns: []string{"device.id", "baseline.learned", "baseline.usual", "baseline.services", "baseline.watched", "baseline.new_per_day"}},
		{ID: "bytes", Title: "Traffic over time", Answers: "When does it speak, and by which protocol?", Shape: Lines, Events: []string{flows}, Values: []Value{Sum("network.bytes", "bytes")}, By: []Split{{"network.protocol.name", "protocol", 10}}},
		{ID: "scores", Title: "How unusual, over time", Answers: "When was it out of the ordinary?", Shape: Lines, Events: []string{flows}, Where: []Condition{Has("anomaly.score")}, Values: []Value{Max("anomaly.score", "greatest score")}},
		{ID: "peers", Title: "Conversations", Answers: "Who speaks with whom?", Shape: Table, Width: 12, Events: []string{flows},
			Values: []Value{Sum("network.bytes", "bytes"), Count("flows")}, By: []Split{{"source.device.id", "from", 20}, {"destination.address", "to", 20}, {"network.protocol.name", "protocol", 5}}},
		{ID: "names", Title: "Names asked for", Answers: "What does it look for?", Shape: Table, Width: 12, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"dns.question.names", "name", 50}}},
		{ID: "expected", Title: "Traffic, expected and seen", Answers: "Does it send and receive as much as is usual at this hour, in bytes by the second?", Shape: Lines, Width: 24, Events: []string{forecasts}, Values: expectedAgainstSeen},
		{ID: "reports", Title: "Reports", Answers: "What was reported of it?", Shape: Rows, Events: []string{reports}, Columns: reportColumns},
		{ID: "reasons", Title: "Why flows are unusual", Answers: "Which kinds of evidence?", Shape: Bars, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"anomaly.reasons.kind", "evidence", 15}}},
		{ID: "sightings", Title: "What the wire says of it", Answers: "By which means did it tell who it is?", Shape: Bars, Events: []string{sightings}, Values: []Value{Count("sightings")}, By: []Split{{"sighting.kind", "kind", 10}}},
		{ID: "unusual", Title: "Unusual flows", Answers: "What exactly, with the Community ID that leads to the packets?", Shape: Rows, Events: []string{flows}, Where: []Condition{Has("anomaly.score")},
			Columns: append(append([]string{}, flowColumns...), "network.community_id")},
	}}
}

func conversations() Dashboard {
	return Dashboard{ID: "flows", Title: "Flows", Answers: "What is spoken on the wire, and how do conversations end?", Panels: []Panel{
		{ID: "count", Title: "Flow records", Answers: "How many?", Shape: Number, Width: 8, Events: []string{flows}, Values: []Value{Count("flows")}},
		{ID: "bytes", Title: "Bytes", Answers: "How much?", Shape: Number, Width: 8, Events: []string{flows}, Values: []Value{Sum("network.bytes", "bytes")}},
		{ID: "lost", Title: "Segments sent again", Answers: "Does the network lose packets?", Shape: Number, Width: 8, Events: []string{flows}, Values: []Value{Sum("flow.tcp.retransmissions", "segments")}},
		{ID: "protocols", Title: "Bytes by protocol", Answers: "What fills the wire?", Shape: Lines, Events: []string{flows}, Values: []Value{Sum("network.bytes", "bytes")}, By: []Split{{"network.protocol.name", "protocol", 10}}},
		{ID: "records", Title: "Flows by protocol", Answers: "What is spoken most often?", Shape: Lines, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"network.protocol.name", "protocol", 10}}},
		{ID: "transports", Title: "Transport", Answers: "On top of what?", Shape: Bars, Width: 8, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"network.transport", "transport", 15}}},
		{ID: "directions", Title: "Direction", Answers: "Inside, in, or out?", Shape: Bars, Width: 8, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"network.direction", "direction", 4}}},
		{ID: "states", Title: "TCP states", Answers: "Were connections answered? SF is a whole one, REJ refused, S0 not answered.", Shape: Bars, Width: 8, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"flow.tcp.state", "state", 15}}},
		{ID: "services", Title: "Services", Answers: "Which ports of whom are used?", Shape: Table, Width: 12, Events: []string{flows},
			Values: []Value{Count("flows"), Sum("network.bytes", "bytes")}, By: []Split{{"destination.address", "address", 20}, {"destination.port", "port", 5}, {"network.protocol.name", "protocol", 2}}},
		{ID: "reasons", Title: "Why flows are unusual", Answers: "Which kinds of evidence?", Shape: Bars, Width: 12, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"anomaly.reasons.kind", "evidence", 15}}},
		{ID: "latest", Title: "Latest flows", Answers: "What is going on now?", Shape: Rows, Events: []string{flows}, Columns: append(append([]string{}, flowColumns...), "flow.tcp.state", "network.community_id")},
	}}
}

func talkers() Dashboard {
	return Dashboard{ID: "talkers", Title: "Talkers", Answers: "Who speaks most, with whom, and who speaks with the outside?", Panels: []Panel{
		{ID: "senders", Title: "Devices that begin conversations", Answers: "Who asks most?", Shape: Bars, Events: []string{flows}, Values: []Value{Sum("network.bytes", "bytes")}, By: []Split{{"source.device.name", "device", 15}}},
		{ID: "servers", Title: "Devices that are asked", Answers: "Who serves most?", Shape: Bars, Events: []string{flows}, Values: []Value{Sum("network.bytes", "bytes")}, By: []Split{{"destination.device.name", "device", 15}}},
		{ID: "time", Title: "Bytes over time by device", Answers: "Since when?", Shape: Lines, Width: 24, Events: []string{flows}, Values: []Value{Sum("network.bytes", "bytes")}, By: []Split{{"source.device.name", "device", 10}}},
		{ID: "pairs", Title: "Pairs", Answers: "Which two speak most, and who sends more?", Shape: Table, Width: 12, Events: []string{flows},
			Values: []Value{Sum("network.bytes", "bytes"), Sum("flow.io.bytes", "sent"), Sum("flow.reverse.io.bytes", "received"), Count("flows")},
			By:     []Split{{"source.address", "from", 20}, {"destination.address", "to", 5}}},
		{ID: "outside", Title: "To the outside", Answers: "Who sends what where, out of the site?", Shape: Table, Width: 12, Events: []string{flows}, Where: []Condition{Is("network.direction", "outbound")},
			Values: []Value{Sum("flow.io.bytes", "sent"), Sum("flow.reverse.io.bytes", "received"), Count("flows")},
			By:     []Split{{"source.device.id", "device id", 20}, {"destination.address", "to", 10}, {"destination.domain", "known as", 3}}},
		{ID: "names", Title: "Names asked for", Answers: "What is looked for most?", Shape: Bars, Events: []string{flows}, Values: []Value{Count("flows")}, By: []Split{{"dns.question.names", "name", 20}}},
		{ID: "peers", Title: "Peers of each device", Answers: "Who speaks with how many? Many more than before is a sweep.", Shape: Table, Width: 12, Events: []string{flows},
			Values: []Value{Distinct("destination.address", "peers"), Distinct("destination.port", "ports"), Count("flows")}, By: []Split{{"source.device.id", "device id", 50}, {"source.device.name", "name", 3}}},
	}}
}

func commands() Dashboard {
	ot := []Condition{Has("ot.commands")}
	return Dashboard{ID: "ot", Title: "OT commands", Answers: "Who commands which controller, with which function, and is that usual?", Panels: []Panel{
		{ID: "masters", Title: "Devices that command", Answers: "How many masters are there?", Shape: Number, Width: 8, Events: []string{flows}, Where: ot, Values: []Value{Distinct("source.device.id", "devices")}},
		{ID: "controllers", Title: "Devices that are commanded", Answers: "How many controllers?", Shape: Number, Width: 8, Events: []string{flows}, Where: ot, Values: []Value{Distinct("destination.device.id", "devices")}},
		{ID: "unusual", Title: "Unusual flows with commands", Answers: "Is any of it out of the ordinary?", Shape: Number, Width: 8, Events: []string{flows}, Where: []Condition{Has("ot.commands"), Has("anomaly.score")}, Values: []Value{Count("flows")}},
		{ID: "functions", Title: "Commands", Answers: "Which functions are used, as unit/function?", Shape: Bars, Events: []string{flows}, Where: ot, Values: []Value{Count("flows")}, By: []Split{{"ot.commands", "command", 20}}},
		{ID: "time", Title: "Commands over time", Answers: "When? A write where there were only reads is worth a look.", Shape: Lines, Events: []string{flows}, Where: ot, Values: []Value{Count("flows")}, By: []Split{{"ot.commands", "command", 10}}},
		{ID: "who", Title: "Who commands whom", Answers: "Which master sends which function to which controller?", Shape: Table, Width: 24, Events: []string{flows}, Where: ot,
			Values: []Value{Count("flows"), Max("anomaly.score", "greatest score"), Max(timestamp, "last")},
			By:     []Split{{"source.device.id", "master id", 20}, {"source.device.name", "master", 2}, {"destination.device.id", "controller id", 20}, {"destination.device.name", "controller", 2}, {"ot.commands", "command", 20}}},
		{ID: "reports", Title: "Reports of commands", Answers: "Which commands were reported?", Shape: Rows, Events: []string{reports}, Where: []Condition{Is("report.class", threat.NewOTMaster, threat.NewOTCommand, threat.OTScan, threat.OTInjection, threat.OTSpoofing)}, Columns: reportColumns},
		{ID: "latest", Title: "Latest commands", Answers: "What was commanded last?", Shape: Rows, Events: []string{flows}, Where: ot,
			Columns: []string{"source.device.name", "source.address", "destination.device.name", "destination.address", "network.protocol.name", "ot.commands", "ot.command_counts", "anomaly.score"}},
	}}
}

func collector() Dashboard {
	return Dashboard{ID: "collector", Title: "Monban itself", Answers: "Does everything run, and does it see all packets? The parts are told by the manifest receiver.", Panels: []Panel{
		{ID: "parts", Title: "Parts", Answers: "How many receivers, processors and connectors run?", Shape: Number, Width: 6, Events: []string{dataSource, processor}, Values: []Value{Distinct("otelcol.component.id", "parts")}},
		{ID: "unwell", Title: "Parts not well", Answers: "How many told of an error?", Shape: Number, Width: 6, Events: []string{dataSource, processor}, Where: []Condition{Is("otelcol.health", "recoverable_error", "permanent_error", "fatal_error")}, Values: []Value{Distinct("otelcol.component.id", "parts")}, Quiet: true},
		{ID: "refused", Title: "Packets not decoded", Answers: "Are there packets in no flow, at one meter at most?", Shape: Number, Width: 6, Events: []string{capture}, Values: []Value{Max("capture.refused", "packets")}, Quiet: true},
		{ID: "evicted", Title: "Flows cut short", Answers: "Was the table of flows ever full?", Shape: Number, Width: 6, Events: []string{capture}, Values: []Value{Max("capture.evicted", "flows")}, Quiet: true},
		{ID: "health", Title: "How parts fare", Answers: "What did each part tell, and when last?", Shape: Table, Width: 12, Events: []string{dataSource, processor},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"otelcol.component.kind", "kind", 5}, {"otelcol.component.id", "part", 50}, {"otelcol.health", "health", 8}, {"otelcol.component.version", "version", 3}}},
		{ID: "pipelines", Title: "Pipelines", Answers: "Which pipelines run, and how do they fare?", Shape: Table, Width: 12, Events: []string{pipeline},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"otelcol.pipeline.id", "pipeline", 50}, {"otelcol.signal", "signal", 3}, {"otelcol.health", "health", 8}}},
		{ID: "packets", Title: "Packets read", Answers: "Does the meter go on? It counts from its start.", Shape: Lines, Events: []string{capture}, Values: []Value{Max("capture.packets", "packets")}, By: []Split{{"capture.source", "source", 10}}},
		{ID: "runs", Title: "Collectors", Answers: "Which Collectors run, of which version, with which configuration?", Shape: Table, Width: 12, Events: []string{orchestrator},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"service.instance.id", "run", 50}, {"service.version", "version", 2}, {"orchestrator.config_hash", "configuration", 2}, {"otelcol.health", "health", 8}}},
		{ID: "meters", Title: "The meters' totals", Answers: "What was read, dropped, missed and refused?", Shape: Rows, Events: []string{capture},
			Columns: []string{"capture.source", "capture.packets", "capture.bytes", "capture.flows", "capture.dropped", "capture.missed", "capture.refused", "capture.refused_reasons", "capture.evicted", "capture.warnings"}},
	}}
}

func host() Dashboard {
	return Dashboard{ID: "host", Title: "The box", Answers: "Has the computer that Monban runs on enough of everything? Told by the host receiver.", Panels: []Panel{
		{ID: "load", Title: "Load", Answers: "Is there more to do than it can?", Shape: Lines, Metric: "system.cpu.load_average.1m", Values: []Value{Mean("metric.value", "threads")}, By: []Split{{"host.name", "host", 10}}},
		{ID: "cpu", Title: "Processors by mode", Answers: "What are they busy with? Needs system.cpu.utilization turned on.", Shape: Lines, Metric: "system.cpu.utilization", Values: []Value{Mean("metric.value", "share")}, By: []Split{{"labels.cpu.mode", "mode", 10}}},
		{ID: "memory", Title: "Memory by state", Answers: "How much is left?", Shape: Lines, Metric: "system.memory.usage", Values: []Value{Mean("metric.value", "bytes")}, By: []Split{{"labels.system.memory.state", "state", 10}}},
		{ID: "used", Title: "Memory, share used", Answers: "Does it rise? Needs system.memory.utilization turned on.", Shape: Lines, Metric: "system.memory.utilization", Values: []Value{Mean("metric.value", "share")}, By: []Split{{"labels.system.memory.state", "state", 10}}},
		{ID: "running", Title: "Processes by state", Answers: "Do they pile up, waiting or dead?", Shape: Lines, Metric: "system.process.count", Values: []Value{Max("metric.value", "processes")}, By: []Split{{"labels.process.state", "state", 10}}},
		{ID: "processes", Title: "Memory of processes", Answers: "Which process grows?", Shape: Lines, Metric: "process.memory.usage", Values: []Value{Max("metric.value", "bytes")}, By: []Split{{"labels.process.executable.name", "process", 10}}},
		{ID: "disks", Title: "File systems", Answers: "Where will it be full?", Shape: Table, Width: 12, Metric: "system.filesystem.usage",
			Values: []Value{Max("metric.value", "bytes")}, By: []Split{{"host.name", "host", 10}, {"labels.system.filesystem.mountpoint", "mounted at", 20}, {"labels.system.filesystem.state", "state", 3}}},
		{ID: "full", Title: "File systems, share used", Answers: "How fast does it fill? Needs system.filesystem.utilization turned on.", Shape: Lines, Metric: "system.filesystem.utilization", Values: []Value{Max("metric.value", "share")}, By: []Split{{"labels.system.filesystem.mountpoint", "mounted at", 10}}},
		{ID: "io", Title: "Bytes of disks", Answers: "Which disk is read and written most? Counted since the boot.", Shape: Table, Width: 12, Metric: "system.disk.io",
			Values: []Value{Max("metric.value", "bytes")}, By: []Split{{"host.name", "host", 10}, {"labels.system.device", "disk", 20}, {"labels.disk.io.direction", "direction", 2}}},
		{ID: "network", Title: "Bytes of interfaces", Answers: "What do they carry? Counted since the boot.", Shape: Table, Width: 12, Metric: "system.network.io",
			Values: []Value{Max("metric.value", "bytes")}, By: []Split{{"host.name", "host", 10}, {"labels.network.interface.name", "interface", 20}, {"labels.network.io.direction", "direction", 2}}},
		{ID: "errors", Title: "Errors of interfaces", Answers: "Is a cable or a port broken? Counted since the boot.", Shape: Table, Width: 12, Metric: "system.network.errors",
			Values: []Value{Max("metric.value", "errors")}, By: []Split{{"host.name", "host", 10}, {"labels.network.interface.name", "interface", 20}, {"labels.network.io.direction", "direction", 2}}},
	}}
}
