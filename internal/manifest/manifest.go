// Package manifest says what a Collector is made of and how it fares: its data sources, the types of
// processors that it has, the processors that it runs, its pipelines, and itself, the orchestrator.
//
// It promises that no setting whose name or form is that of a secret is ever in what it gives, that all of
// that are events with a table each, and that its size is bounded: so many settings a component, so many bytes
// each. It gives up exactness there: what is left out is counted.
// It knows no Collector; who uses it tells it what is there.
package manifest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Health is how a part fares.
type Health string

// Healths, best first.
const (
	OK          Health = "ok"
	Unknown     Health = "unknown"
	Starting    Health = "starting"
	Stopping    Health = "stopping"
	Stopped     Health = "stopped"
	Recoverable Health = "recoverable_error"
	Permanent   Health = "permanent_error"
	Fatal       Health = "fatal_error"
)

var ranks = map[Health]int{OK: 1, Unknown: 2, Starting: 3, Stopping: 4, Stopped: 5, Recoverable: 6, Permanent: 7, Fatal: 8}

// Reason is why a manifest is written.
type Reason string

// Reasons.
const (
	Start  Reason = "start"
	Change Reason = "health"
)

// Kind is the kind of a component, in the words of the Collector.
type Kind string

// Kinds.
const (
	Receiver  Kind = "receiver"
	Processor Kind = "processor"
	Connector Kind = "connector"
	Exporter  Kind = "exporter"
	Extension Kind = "extension"
)

// Type is a type of components that the binary has.
type Type struct {
	Kind      Kind
	Name      string
	Module    string // path and version, as the builder's manifest names them
	Stability []string
	Defaults  map[string]any
}

// Instance is one instance of a component, which may serve several pipelines.
type Instance struct {
	Kind      Kind
	ID        string
	Pipelines string // ids, separated by spaces
}

// Identity is who the Collector is.
type Identity struct {
	Name, Version, Instance string
	Started                 time.Time
}

// Model is all that is known of one Collector. It is safe for concurrent use. The zero Model is of no use, see [New].
type Model struct {
	mu     sync.Mutex
	who    Identity
	types  []Type
	config map[string]any
	health map[Instance]state
}

// New makes the model of a Collector whose types and configuration are still to come.
func New(who Identity) *Model { return &Model{who: who, health: map[Instance]state{}} }

// Know tells the model the types of components that the binary has.
func (m *Model) Know(types []Type) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.types = types
}

// Configure tells the model the effective configuration, in the shape of the file.
func (m *Model) Configure(config map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = config
}

// mostInstances bounds what is remembered of health. There are as many instances as the configuration
// has, so the bound is for a host that behaves strangely.
const mostInstances = 10_000

// Report tells the model how an instance fares, and gives whether that is new.
func (m *Model) Report(i Instance, h Health, why string, at time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, known := m.health[i]
	now := state{Health: h, Error: Scrub(why), Since: at.UnixNano()}
	if old.Health == now.Health && old.Error == now.Error || !known && len(m.health) >= mostInstances {
		return false
	}
	if old.Health == now.Health {
		now.Since = old.Since
	}
	m.health[i] = now
	return true
}

// Snapshot is what a Collector is made of at one moment.
type Snapshot struct {
	Orchestrator Orchestrator
	Pipelines    []Pipeline
	Sources      []DataSource
	Definitions  []ProcessorDefinition
	Manifests    []ProcessorManifest
}

// Snapshot gives what is there now, everything in the order of its ids.
func (m *Model) Snapshot(why Reason, now time.Time) *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := now.UnixNano()
	s := &Snapshot{Orchestrator: Orchestrator{
		Time: at, Reason: why, Name: m.who.Name, Version: m.who.Version, Instance: m.who.Instance, Started: m.who.Started.UnixNano(), Config: m.hash(),
	}}
	o := &s.Orchestrator
	service := sub(m.config, "service")
	pipelines := sub(service, "pipelines")
	in := map[Kind]map[string][]string{Receiver: {}, Processor: {}, Connector: {}, Exporter: {}}
	connectors := sub(m.config, "connectors")
	for _, id := range slices.Sorted(maps.Keys(pipelines)) {
		p := sub(pipelines, id)
		signal, _, _ := strings.Cut(id, "/")
		pl := Pipeline{Time: at, ID: id, Signal: signal, Receivers: texts(p["receivers"]), Processors: texts(p["processors"]), Exporters: texts(p["exporters"])}
		for kind, ids := range map[Kind][]string{Receiver: pl.Receivers, Processor: pl.Processors, Exporter: pl.Exporters} {
			for _, c := range ids {
				if _, ok := connectors[c]; ok && kind != Processor {
					in[Connector][c] = append(in[Connector][c], id)
				} else {
					in[kind][c] = append(in[kind][c], id)
				}
			}
		}
		pl.state = m.worst(func(i Instance) bool { return slices.Contains(strings.Fields(i.Pipelines), id) })
		s.Pipelines = append(s.Pipelines, pl)
		o.Pipelines = append(o.Pipelines, id)
	}
	o.Extensions = slices.Sorted(slices.Values(texts(service["extensions"])))
	o.Exporters = slices.Sorted(maps.Keys(in[Exporter]))
	used := map[string]uint32{}
	for _, id := range slices.Sorted(maps.Keys(in[Receiver])) {
		d := DataSource{part: m.part(Receiver, id, "receivers", at), Pipelines: in[Receiver][id]}
		d.Signals, d.state = signals(d.Pipelines), m.healthOf(Receiver, id)
		s.Sources = append(s.Sources, d)
		o.Sources = append(o.Sources, id)
	}
	for _, k := range []struct {
		kind    Kind
		section string
	}{{Processor, "processors"}, {Connector, "connectors"}} {
		for _, id := range slices.Sorted(maps.Keys(in[k.kind])) {
			d := ProcessorManifest{part: m.part(k.kind, id, k.section, at), Pipelines: slices.Compact(in[k.kind][id])}
			d.Signals, d.state = signals(d.Pipelines), m.healthOf(k.kind, id)
			s.Manifests = append(s.Manifests, d)
			o.Processors = append(o.Processors, id)
			used[string(k.kind)+" "+d.Type]++
		}
	}
	for _, t := range m.types {
		if t.Kind != Processor && t.Kind != Connector {
			continue
		}
		d := ProcessorDefinition{part: part{Time: at, Kind: string(t.Kind), Type: t.Name}, Stability: t.Stability, Used: used[string(t.Kind)+" "+t.Name]}
		d.Module, d.Version, _ = strings.Cut(t.Module, " ")
		d.Settings, d.Cut = Settings(t.Defaults)
		s.Definitions = append(s.Definitions, d)
	}
	slices.SortFunc(s.Definitions, func(a, b ProcessorDefinition) int {
		return cmp.Or(strings.Compare(b.Kind, a.Kind), strings.Compare(a.Type, b.Type))
	})
	for i, st := range m.health {
		if st.Health != OK {
			o.Unwell = append(o.Unwell, string(i.Kind)+":"+i.ID+"="+string(st.Health))
		}
	}
	slices.Sort(o.Unwell)
	o.Unwell = slices.Compact(o.Unwell)
	o.state = m.worst(func(Instance) bool { return true })
	return s
}

func (m *Model) part(kind Kind, id, section string, at int64) part {
	p := part{Time: at, ID: id, Kind: string(kind)}
	p.Type, _, _ = strings.Cut(id, "/")
	for _, t := range m.types {
		if t.Kind == kind && t.Name == p.Type {
			p.Module, p.Version, _ = strings.Cut(t.Module, " ")
		}
	}
	p.Settings, p.Cut = Settings(sub(sub(m.config, section), id))
	return p
}

// healthOf is the worst of the instances of one component.
func (m *Model) healthOf(kind Kind, id string) state {
	return m.worst(func(i Instance) bool { return i.Kind == kind && i.ID == id })
}

func (m *Model) worst(of func(Instance) bool) state {
	w := state{}
	for i, st := range m.health {
		if !of(i) {
			continue
		}
		switch r, most := ranks[st.Health], ranks[w.Health]; {
		case r > most, r == most && st.Error < w.Error:
			w = st
		case r == most && st.Error == w.Error:
			w.Since = max(w.Since, st.Since)
		}
	}
	if w.Health == "" {
		w.Health = Unknown
	}
	return w
}

// hash tells configurations apart, by what may be shown of them.
func (m *Model) hash() string {
	h := sha256.New()
	walk(m.config, "", func(path, value string) {
		h.Write([]byte(path + "=" + value + "\n"))
	})
	return hex.EncodeToString(h.Sum(nil))
}

func signals(pipelines []string) (all []string) {
	for _, p := range pipelines {
		s, _, _ := strings.Cut(p, "/")
		all = append(all, s)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
