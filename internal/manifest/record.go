package manifest

import "github.com/monban/monban/internal/event"

// What is said of every part of a Collector.
type part struct {
	Time     int64 // Unix nanoseconds; the log record's timestamp
	ID       string
	Kind     string // receiver, processor, connector
	Type     string
	Module   string
	Version  string
	Signals  []string
	Settings []string
	Cut      uint32 // settings that are left out
}

// state is how a part fares.
type state struct {
	Health Health
	Error  string
	Since  int64
}

func idField[R any](at func(*R) *part) event.Field[R] {
	return event.Text("otelcol.component.id", "Id of the component, as in the configuration", func(r *R) *string { return &at(r).ID })
}

func kindFields[R any](at func(*R) *part) []event.Field[R] {
	return []event.Field[R]{
		event.Text("otelcol.component.kind", "receiver, processor or connector", func(r *R) *string { return &at(r).Kind }),
		event.Text("otelcol.component.type", "Type of the component", func(r *R) *string { return &at(r).Type }),
		event.Text("otelcol.component.module", "Go module that it comes from", func(r *R) *string { return &at(r).Module }),
		event.Text("otelcol.component.version", "Version of that module", func(r *R) *string { return &at(r).Version }),
	}
}

func settingFields[R any](doc string, at func(*R) *part) []event.Field[R] {
	return []event.Field[R]{
		event.Texts("otelcol.component.settings", doc, func(r *R) *[]string { return &at(r).Settings }),
		event.Number("otelcol.component.settings_cut", "{setting}", "Settings left out because there are too many", func(r *R) *uint32 { return &at(r).Cut }),
	}
}

func healthFields[R any](at func(*R) *state) []event.Field[R] {
	return []event.Field[R]{
		event.Text("otelcol.health", "How it fares, the worst of its instances: ok, starting, stopping, stopped, recoverable_error, permanent_error, fatal_error or unknown",
			func(r *R) *Health { return &at(r).Health }),
		event.Text("otelcol.health.error", "What is wrong, secrets removed", func(r *R) *string { return &at(r).Error }),
		event.Instant("otelcol.health.since", "Since when it fares so", func(r *R) *int64 { return &at(r).Since }),
	}
}

const settingsDoc = "Settings in effect, defaults too, each as path::to::it=value; secrets are [REDACTED]"

// DataSource is a receiver that runs: what records come from.
type DataSource struct {
	part
	state
	Pipelines []string
}

// DataSources is the one definition of a data source.
var DataSources = event.NewTable("collector.data_source", "A receiver that runs: where records come from.",
	[]event.Field[DataSource]{idField(sourcePart)},
	kindFields(sourcePart),
	[]event.Field[DataSource]{
		event.Texts("otelcol.signals", "logs, metrics, traces: what it gives", func(d *DataSource) *[]string { return &d.Signals }),
		event.Texts("otelcol.pipeline.ids", "Pipelines that it feeds", func(d *DataSource) *[]string { return &d.Pipelines }),
	},
	settingFields(settingsDoc, sourcePart),
	healthFields(func(d *DataSource) *state { return &d.state }),
)

func sourcePart(d *DataSource) *part { return &d.part }

// ProcessorDefinition is a type of processor or connector that this binary has.
type ProcessorDefinition struct {
	part
	Stability []string
	Used      uint32
}

// ProcessorDefinitions is the one definition of a processor definition.
var ProcessorDefinitions = event.NewTable("collector.processor_definition", "A type of processor or connector that this binary can run.",
	kindFields(definitionPart),
	[]event.Field[ProcessorDefinition]{
		event.Texts("otelcol.component.stability", "How stable it is, as signal=level; of a connector from→to=level", func(d *ProcessorDefinition) *[]string { return &d.Stability }),
		event.Number("otelcol.component.used", "{component}", "How many of it are configured", func(d *ProcessorDefinition) *uint32 { return &d.Used }),
	},
	settingFields("Settings when nothing is configured, each as path::to::it=value", definitionPart),
)

func definitionPart(d *ProcessorDefinition) *part { return &d.part }

// ProcessorManifest is a processor or connector that runs.
type ProcessorManifest struct {
	part
	state
	Pipelines []string
}

// ProcessorManifests is the one definition of a processor manifest.
var ProcessorManifests = event.NewTable("collector.processor_manifest", "A processor or connector that runs, with its version and settings.",
	[]event.Field[ProcessorManifest]{idField(manifestPart)},
	kindFields(manifestPart),
	[]event.Field[ProcessorManifest]{
		event.Texts("otelcol.signals", "logs, metrics, traces: what it works on", func(d *ProcessorManifest) *[]string { return &d.Signals }),
		event.Texts("otelcol.pipeline.ids", "Pipelines that it is in", func(d *ProcessorManifest) *[]string { return &d.Pipelines }),
	},
	settingFields(settingsDoc, manifestPart),
	healthFields(func(d *ProcessorManifest) *state { return &d.state }),
)

func manifestPart(d *ProcessorManifest) *part { return &d.part }

// Pipeline is one way from data sources through processors to exporters.
type Pipeline struct {
	state
	Time       int64
	ID         string
	Signal     string
	Receivers  []string
	Processors []string
	Exporters  []string
}

// Pipelines is the one definition of a pipeline.
var Pipelines = event.NewTable("collector.pipeline", "One way from data sources through processors to exporters, as the orchestrator runs it.",
	[]event.Field[Pipeline]{
		event.Text("otelcol.pipeline.id", "Id of the pipeline, as in the configuration", func(p *Pipeline) *string { return &p.ID }),
		event.Text("otelcol.signal", "logs, metrics or traces", func(p *Pipeline) *string { return &p.Signal }),
		event.Texts("otelcol.pipeline.receivers", "Receivers, and connectors from other pipelines", func(p *Pipeline) *[]string { return &p.Receivers }),
		event.Texts("otelcol.pipeline.processors", "Processors, in their order", func(p *Pipeline) *[]string { return &p.Processors }),
		event.Texts("otelcol.pipeline.exporters", "Exporters, and connectors to other pipelines", func(p *Pipeline) *[]string { return &p.Exporters }),
	},
	healthFields(func(p *Pipeline) *state { return &p.state }),
)

// Orchestrator is the Collector itself.
type Orchestrator struct {
	state
	Time       int64
	Reason     Reason
	Name       string
	Version    string
	Instance   string
	Started    int64
	Config     string
	Pipelines  []string
	Sources    []string
	Processors []string
	Exporters  []string
	Extensions []string
	Unwell     []string
}

// Orchestrators is the one definition of an orchestrator.
var Orchestrators = event.NewTable("collector.orchestrator", "The Collector that runs the pipelines, and how it fares.",
	[]event.Field[Orchestrator]{
		event.Text("orchestrator.reason", "Why this is written: start or health", func(o *Orchestrator) *Reason { return &o.Reason }),
		event.Text("service.name", "Name of the Collector", func(o *Orchestrator) *string { return &o.Name }),
		event.Text("service.version", "Its version", func(o *Orchestrator) *string { return &o.Version }),
		event.Text("service.instance.id", "This run of it", func(o *Orchestrator) *string { return &o.Instance }),
		event.Instant("orchestrator.started", "When it was started", func(o *Orchestrator) *int64 { return &o.Started }),
		event.Text("orchestrator.config_hash", "SHA-256 of the settings in effect without their secrets; another one means another configuration", func(o *Orchestrator) *string { return &o.Config }),
		event.Texts("otelcol.pipeline.ids", "Pipelines", func(o *Orchestrator) *[]string { return &o.Pipelines }),
		event.Texts("orchestrator.data_sources", "Receivers that run", func(o *Orchestrator) *[]string { return &o.Sources }),
		event.Texts("orchestrator.processors", "Processors and connectors that run", func(o *Orchestrator) *[]string { return &o.Processors }),
		event.Texts("orchestrator.exporters", "Exporters that run", func(o *Orchestrator) *[]string { return &o.Exporters }),
		event.Texts("orchestrator.extensions", "Extensions that run", func(o *Orchestrator) *[]string { return &o.Extensions }),
		event.Texts("orchestrator.unwell", "Components that are not ok, each as kind:id=health", func(o *Orchestrator) *[]string { return &o.Unwell }),
	},
	healthFields(func(o *Orchestrator) *state { return &o.state }),
)
