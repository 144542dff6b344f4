package dashboard

// telemetry is of the Collector's own metrics, which Prometheus scrapes.
func telemetry() Dashboard {
	return Dashboard{ID: "telemetry", Title: "Monban itself (Prometheus)", Answers: "Does everything get through, and what does it take?", Panels: []Panel{
		{ID: "up", Title: "Up for", Answers: "Since when does it run?", Shape: Number, Asks: []Ask{{"max(otelcol_process_uptime)", ""}}, Unit: "s"},
		{ID: "devices", Title: "Devices", Answers: "How many are in the inventory?", Shape: Number, Asks: []Ask{{"sum(otelcol_device_known)", ""}}},
		{ID: "incidents", Title: "Incidents", Answers: "How many were reported since the start?", Shape: Number, Asks: []Ask{{"sum(otelcol_threat_incidents)", ""}}},
		{ID: "live", Title: "Flows in the table", Answers: "How full is it? Near max_flows it evicts.", Shape: Number, Asks: []Ask{{"sum(otelcol_packetflow_live_flows)", ""}}},
		{ID: "dropped", Title: "Packets lost", Answers: "Was it, or the card, too slow?", Shape: Number, Asks: []Ask{{"sum(otelcol_packetflow_dropped) + sum(otelcol_packetflow_missed)", ""}}},
		{ID: "failed", Title: "Records not sent", Answers: "Did an exporter give up any?", Shape: Number, Asks: []Ask{{"sum(otelcol_exporter_send_failed_log_records) or vector(0)", ""}}},
		{ID: "givenup", Title: "Records given up", Answers: "Was a queue full for so long that what came was not taken?", Shape: Number, Asks: []Ask{{"(sum(otelcol_elasticsearch_given_up) or vector(0)) + (sum(otelcol_kafka_events_records{outcome=\"given_up\"}) or vector(0))", ""}}},
		{ID: "packets", Title: "Packets", Answers: "Does traffic arrive? Standing still means that the mirror is broken.", Shape: Lines, Asks: []Ask{{"sum by (receiver) (rate(otelcol_packetflow_packets[$__rate_interval]))", "{{receiver}}"}}, Unit: "pps"},
		{ID: "bytes", Title: "Bytes", Answers: "How much is that?", Shape: Lines, Asks: []Ask{{"sum by (receiver) (rate(otelcol_packetflow_bytes[$__rate_interval]))", "{{receiver}}"}}, Unit: "Bps"},
		{ID: "losses", Title: "Losses by interface", Answers: "Where are packets lost, and by whom?", Shape: Lines, Asks: []Ask{{"sum by (interface) (rate(otelcol_packetflow_dropped[$__rate_interval]))", "{{interface}} dropped"}, {"sum by (interface) (rate(otelcol_packetflow_missed[$__rate_interval]))", "{{interface}} missed"}, {"sum by (interface) (rate(otelcol_packetflow_freezes[$__rate_interval]))", "{{interface}} ring full"}}},
		{ID: "refused", Title: "Packets not decoded", Answers: "Why are they in no flow?", Shape: Lines, Asks: []Ask{{"sum by (reason) (rate(otelcol_packetflow_refused[$__rate_interval]))", "{{reason}}"}}, Unit: "pps"},
		{ID: "flows", Title: "Flows and records", Answers: "How many begin, how many are written, how many are cut short?", Shape: Lines, Asks: []Ask{{"sum(rate(otelcol_packetflow_flows[$__rate_interval]))", "begun"}, {"sum(rate(otelcol_packetflow_records[$__rate_interval]))", "written"}, {"sum(rate(otelcol_packetflow_evicted[$__rate_interval]))", "cut short"}}},
		{ID: "unusual", Title: "Unusual records", Answers: "Is more out of the ordinary than before?", Shape: Lines, Asks: []Ask{{"sum(rate(otelcol_baseline_unusual[$__rate_interval]))", "unusual"}}},
		{ID: "classes", Title: "Incidents by kind", Answers: "What was reported?", Shape: Table, Width: 12, Asks: []Ask{{"sum by (class, severity) (otelcol_threat_incidents)", ""}}},
		{ID: "alarms", Title: "Alarms by rule", Answers: "Which thresholds were passed since the start?", Shape: Table, Width: 12, Asks: []Ask{{"sum by (rule, alarm) (otelcol_threshold_alarms)", ""}}},
		{ID: "received", Title: "Records accepted and refused by receivers", Answers: "Does anything push back?", Shape: Lines, Asks: []Ask{{"sum by (receiver) (rate(otelcol_receiver_accepted_log_records[$__rate_interval]))", "{{receiver}} accepted"}, {"sum by (receiver) (rate(otelcol_receiver_refused_log_records[$__rate_interval]))", "{{receiver}} refused"}, {"sum by (receiver) (rate(otelcol_receiver_failed_log_records[$__rate_interval]))", "{{receiver}} failed"}}},
		{ID: "sent", Title: "Records sent by exporters", Answers: "Does everything leave?", Shape: Lines, Asks: []Ask{{"sum by (exporter) (rate(otelcol_exporter_sent_log_records[$__rate_interval]))", "{{exporter}}"}}},
		{ID: "documents", Title: "Documents by outcome", Answers: "What did Elasticsearch or OpenSearch say?", Shape: Lines, Asks: []Ask{{"sum by (outcome) (rate(otelcol_elasticsearch_documents[$__rate_interval]))", "{{outcome}}"}}},
		{ID: "cpu", Title: "Processor time", Answers: "What does it take, in cores?", Shape: Lines, Asks: []Ask{{"rate(otelcol_process_cpu_seconds[$__rate_interval])", "{{instance}}"}}},
		{ID: "memory", Title: "Memory", Answers: "Is it steady?", Shape: Lines, Asks: []Ask{{"otelcol_process_memory_rss", "{{instance}}"}}, Unit: "bytes"},
	}}
}

// hostTelemetry is of what the host receiver and the prometheus exporter of configs/host.yaml tell.
func hostTelemetry() Dashboard {
	return Dashboard{ID: "host-prometheus", Title: "The box (Prometheus)", Answers: "Has the computer that Monban runs on enough of everything?", Panels: []Panel{
		{ID: "cpu", Title: "Processors by mode", Answers: "What are they busy with?", Shape: Lines, Asks: []Ask{{"avg by (cpu_mode) (system_cpu_utilization_ratio)", "{{cpu_mode}}"}}, Unit: "percentunit"},
		{ID: "load", Title: "Load", Answers: "Is there more to do than it can?", Shape: Lines, Asks: []Ask{{"system_cpu_load_average_1m", "{{host_name}}"}}},
		{ID: "memory", Title: "Memory by state", Answers: "How much is left?", Shape: Lines, Asks: []Ask{{"sum by (system_memory_state) (system_memory_usage_bytes)", "{{system_memory_state}}"}}, Unit: "bytes"},
		{ID: "disks", Title: "File systems", Answers: "Where will it be full?", Shape: Table, Width: 12, Asks: []Ask{{"sum by (system_filesystem_mountpoint, system_filesystem_state) (system_filesystem_usage_bytes)", ""}}, Unit: "bytes"},
		{ID: "network", Title: "Interfaces", Answers: "What do they carry?", Shape: Lines, Asks: []Ask{{"sum by (network_interface_name, network_io_direction) (rate(system_network_io_bytes_total[$__rate_interval]))", "{{network_interface_name}} {{network_io_direction}}"}}, Unit: "Bps"},
		{ID: "errors", Title: "Errors of interfaces", Answers: "Is a cable or a port broken?", Shape: Lines, Asks: []Ask{{"sum by (network_interface_name, network_io_direction) (rate(system_network_errors_total[$__rate_interval]))", "{{network_interface_name}} {{network_io_direction}}"}}},
	}}
}
