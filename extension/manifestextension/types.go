package manifestextension

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/service/hostcapabilities"

	"github.com/monban/monban/internal/manifest"
)

// types lists the types of components that the host's binary has. A host that does not tell has none.
func types(host component.Host) (all []manifest.Type) {
	modules, ok := host.(hostcapabilities.ModuleInfo)
	if !ok {
		return nil
	}
	factories, ok := host.(hostcapabilities.ComponentFactory)
	if !ok {
		return nil
	}
	add := func(kind component.Kind, word manifest.Kind, t component.Type, module string) {
		m := manifest.Type{Kind: word, Name: t.String(), Module: module}
		f := factories.GetFactory(kind, t)
		if f != nil && (kind == component.KindProcessor || kind == component.KindConnector) {
			m.Stability = stability(f)
			conf := confmap.New()
			if err := conf.Marshal(f.CreateDefaultConfig()); err == nil {
				m.Defaults = conf.ToStringMap()
			}
		}
		all = append(all, m)
	}
	infos := modules.GetModuleInfos()
	for t, i := range infos.Receiver {
		add(component.KindReceiver, manifest.Receiver, t, i.BuilderRef)
	}
	for t, i := range infos.Processor {
		add(component.KindProcessor, manifest.Processor, t, i.BuilderRef)
	}
	for t, i := range infos.Connector {
		add(component.KindConnector, manifest.Connector, t, i.BuilderRef)
	}
	return all
}

func stability(f component.Factory) (all []string) {
	level := func(name string, l component.StabilityLevel) {
		if l != component.StabilityLevelUndefined {
			all = append(all, name+"="+l.String())
		}
	}
	switch f := f.(type) {
	case processor.Factory:
		level("logs", f.LogsStability())
		level("metrics", f.MetricsStability())
		level("traces", f.TracesStability())
	case connector.Factory:
		level("logs→logs", f.LogsToLogsStability())
		level("logs→metrics", f.LogsToMetricsStability())
		level("logs→traces", f.LogsToTracesStability())
		level("metrics→logs", f.MetricsToLogsStability())
		level("metrics→metrics", f.MetricsToMetricsStability())
		level("metrics→traces", f.MetricsToTracesStability())
		level("traces→logs", f.TracesToLogsStability())
		level("traces→metrics", f.TracesToMetricsStability())
		level("traces→traces", f.TracesToTracesStability())
	}
	return all
}
