package elasticsearchexporter

import (
	"bytes"
	"strings"
	"unsafe"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/reference"
)

// A plan is how the documents of one kind of event are laid out: its fields in the order of a walk
// through the objects that they lie in, so that each object is opened and closed once, with all
// that stands between two fields made beforehand.
type plan struct {
	stream string
	// nativeStream are the members of data_stream, for documents in OTel mode
	nativeStream []byte

	kind string // event name, "" for those of others
	ours bool

	units  []unit
	always []uint64 // bits of the units that every document has
	nodes  int
	trans  [][]byte // what stands between a member of one object and the first or next of another: [from*nodes+to]
	depth  []int    // of each object

	paths map[string]int // units by path
	rows  map[string]row // what to do with an attribute of the table
	cache [1 << cacheBits]cached

	// units of fields that are not simply taken from an attribute; -1 where there is none
	id, action, severity, level, message, trace, span, labels  int
	end, duration, risk, netType, direction, bytes, packets    int
	community, related, hostname, techniqueIDs, techniqueNames int
	sourceMAC, destinationMAC, hostName, metric                int
	service                                                    [3]int
}

// unit is one field, or all that is the same in every document of one object.
type unit struct {
	node int
	key  []byte // with its quotes and colon; of constants all members
}

// row is what becomes of an attribute.
type row struct {
	unit   int32 // -1: a label
	how    conversion
	use    use
	native string // in OTel mode, when it is not the key
}

type conversion uint8

const (
	plainValue conversion = iota
	timeValue             // an integer of nanoseconds becomes a text
	macValue              // aa:bb:… becomes AA-BB-…
)

// use is what else an attribute is needed for.
type use uint8

const (
	noUse use = iota
	useBytes
	usePackets
	useSource
	useDestination
	useSourceDevice
	useDestinationDevice
	useStart
	useScore
	useConfidence
	useSeverity
	useTechniques
	useFramework
	useRecordID
)

var uses = map[string]use{
	"flow.io.bytes": useBytes, "flow.reverse.io.bytes": useBytes,
	"flow.io.packets": usePackets, "flow.reverse.io.packets": usePackets,
	"source.address": useSource, "destination.address": useDestination,
	"source.device.id": useSourceDevice, "destination.device.id": useDestinationDevice,
	"flow.start": useStart, "anomaly.score": useScore, "report.confidence": useConfidence, "report.severity": useSeverity,
	"threat.technique.enterprise": useTechniques, "threat.technique.ics": useTechniques,
}

// recordID is the attribute that names a record uniquely, by OpenTelemetry's conventions.
const recordID = "log.record.uid"

const cacheBits = 9

// cached is an attribute key as it was last seen.
type cached struct {
	name string
	row  row
	seen bool
}

// find tells what becomes of the attribute of this name. Keys of our tables are mostly the same
// string in memory, which makes the comparison one of pointers.
func (p *plan) find(name string) row {
	c := &p.cache[0]
	if n := len(name); n > 0 {
		h := uint32(n) | uint32(name[n/3])<<8 | uint32(name[n/2])<<16 | uint32(name[n-1])<<24
		c = &p.cache[h*0x9e3779b1>>(32-cacheBits)]
	}
	if c.seen && len(c.name) == len(name) && (unsafe.StringData(c.name) == unsafe.StringData(name) || c.name == name) {
		return c.row
	}
	r, ok := p.rows[name]
	if !ok {
		r = row{unit: -1}
		if name == recordID {
			r.use = useRecordID
		}
		return r // not kept: the names of others are without end
	}
	*c = cached{strings.Clone(name), r, true}
	return r
}

// node is an object of the document while a plan is made.
type node struct {
	name     string
	parent   int
	constant []byte
	leaves   []string // paths
	children []int
}

// newPlan makes the plan of an event, or of those of others when e is nil. constants are members
// that every document has: JSON by path.
func newPlan(stream elastic.Stream, e *reference.Event, leaves []elastic.Leaf, constants map[string]string) *plan {
	p := &plan{stream: stream.Name(), paths: map[string]int{}, rows: map[string]row{}, ours: e != nil}
	b := append([]byte(nil), `,"data_stream":{"type":`...)
	b = append(flatjson.AppendString(b, stream.Type), `,"dataset":`...)
	b = append(flatjson.AppendString(b, stream.Dataset), `,"namespace":`...)
	p.nativeStream = append(flatjson.AppendString(b, stream.Namespace), '}')
	nodes := []node{{parent: -1}}
	index := map[string]int{"": 0}
	var object func(path string) int
	object = func(path string) int {
		if i, ok := index[path]; ok {
			return i
		}
		above, name := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			above, name = path[:i], path[i+1:]
		}
		parent := object(above)
		nodes = append(nodes, node{name: name, parent: parent})
		index[path] = len(nodes) - 1
		nodes[parent].children = append(nodes[parent].children, len(nodes)-1)
		return len(nodes) - 1
	}
	for _, l := range leaves {
		above, name := "", l.Path
		if i := strings.LastIndexByte(l.Path, '.'); i >= 0 {
			above, name = l.Path[:i], l.Path[i+1:]
		}
		n := object(above)
		if value, ok := constants[l.Path]; ok {
			c := nodes[n].constant
			if len(c) > 0 {
				c = append(c, ',')
			}
			nodes[n].constant = append(append(flatjson.AppendString(c, name), ':'), value...)
			continue
		}
		nodes[n].leaves = append(nodes[n].leaves, l.Path)
	}
	p.walk(nodes, 0)
	p.transitions(nodes)
	if e != nil {
		p.kind = e.Name
		native := elastic.Columns(*e, elastic.OTel)
		for i, l := range elastic.Columns(*e, elastic.ECS) {
			r, how := e.Rows[i], plainValue
			if r.Kind == event.Time {
				how = timeValue
			} else if strings.HasSuffix(l.Path, ".mac") && r.Common != "" {
				how = macValue
			}
			x := row{unit: int32(p.paths[l.Path]), how: how, use: uses[r.Key]}
			if native[i].Path != r.Key {
				x.native = native[i].Path
			}
			p.rows[r.Key] = x
		}
	}
	for path, at := range map[string]*int{
		"event.id": &p.id, "event.action": &p.action, "event.severity": &p.severity, "log.level": &p.level, "message": &p.message,
		"trace.id": &p.trace, "span.id": &p.span, "labels": &p.labels, "event.end": &p.end, "event.duration": &p.duration, "event.risk_score": &p.risk,
		"network.type": &p.netType, "network.direction": &p.direction, "network.bytes": &p.bytes, "network.packets": &p.packets,
		"network.community_id": &p.community, "related.ip": &p.related, "observer.hostname": &p.hostname,
		"threat.technique.id": &p.techniqueIDs, "threat.technique.name": &p.techniqueNames,
		"source.mac": &p.sourceMAC, "destination.mac": &p.destinationMAC, "host.name": &p.hostName, "metric": &p.metric,
		"service.name": &p.service[0], "service.version": &p.service[1], "service.node.name": &p.service[2],
	} {
		*at = -1
		if i, ok := p.paths[path]; ok {
			*at = i
		}
	}
	return p
}

// walk makes the units of an object and of those in it.
func (p *plan) walk(nodes []node, n int) {
	set := func() {
		i := len(p.units)
		for len(p.always) <= i/64 {
			p.always = append(p.always, 0)
		}
		p.always[i/64] |= 1 << (i % 64)
	}
	if c := nodes[n].constant; len(c) > 0 {
		set()
		p.units = append(p.units, unit{n, c})
	}
	for _, path := range nodes[n].leaves {
		if path == "@timestamp" { // written before all others
			continue
		}
		p.paths[path] = len(p.units)
		name := path[strings.LastIndexByte(path, '.')+1:]
		p.units = append(p.units, unit{n, append(flatjson.AppendString(nil, name), ':')})
	}
	for len(p.always) < len(p.units)/64+1 {
		p.always = append(p.always, 0)
	}
	for _, c := range nodes[n].children {
		p.walk(nodes, c)
	}
}

// transitions makes what stands between the members of any two objects.
func (p *plan) transitions(nodes []node) {
	above := func(n int) (all []int) { // from the outermost
		for ; n > 0; n = nodes[n].parent {
			all = append([]int{n}, all...)
		}
		return all
	}
	p.nodes = len(nodes)
	for from := range nodes {
		a := above(from)
		p.depth = append(p.depth, len(a))
		for to := range nodes {
			b := above(to)
			same := 0
			for same < len(a) && same < len(b) && a[same] == b[same] {
				same++
			}
			t := append(bytes.Repeat([]byte{'}'}, len(a)-same), ',')
			for _, n := range b[same:] {
				t = append(append(flatjson.AppendString(t, nodes[n].name), ':'), '{')
			}
			p.trans = append(p.trans, t)
		}
	}
}
