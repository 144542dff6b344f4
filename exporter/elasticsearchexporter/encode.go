package elasticsearchexporter

import (
	"encoding/base64"
	"encoding/json"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/reference"
)

// plans are those of all events in one mode and namespace.
type plans struct {
	mode    elastic.Mode
	byEvent map[string]*plan
	other   *plan
	metrics map[string]*plan // by data set
}

// idLength is the length of a document's id: 128 bits in base64.
const idLength = 22

// encoder turns records into documents. It is not safe for concurrent use, and nor are its plans.
type encoder struct {
	*plans
	clock flatjson.Clock

	resource  pcommon.Map
	scope     pcommon.InstrumentationScope
	head      []byte // in OTel mode: resource and scope as members
	resLabels []byte // labels of the resource, with a comma before each
	resKeys   []string
	host      []byte // value of host.name
	service   [3][]byte

	doc     []byte
	values  []byte
	spans   []span
	mask    []uint64
	labels  []byte
	keys    []string
	metric  []byte // of a data point
	id      string // of the document: the record's own, or made from all that it holds
	stream  string // of the document
	derived derived
}

// span is a value within encoder.values.
type span struct{ from, to int }

// derived is what was seen of a record's attributes that other fields follow from.
type derived struct {
	bytes, packets int64
	start          int64
	src, dst       string
	srcDevice      string
	dstDevice      string
	score          float64
	confidence     float64
	severity       int64
	techniques     [2]pcommon.Value
	techniqueLists int
	hasStart       bool
}

func newPlans(mode elastic.Mode, namespace string) *plans {
	p := &plans{mode: mode, byEvent: map[string]*plan{}, metrics: map[string]*plan{}}
	quote := func(s string) string { return string(flatjson.AppendString(nil, s)) }
	quotes := func(list []string) string { b, _ := json.Marshal(list); return string(b) }
	constants := func(s elastic.Stream, kind elastic.Kind, ours bool) map[string]string {
		c := map[string]string{
			"data_stream.type": quote(s.Type), "data_stream.dataset": quote(s.Dataset), "data_stream.namespace": quote(s.Namespace),
			"ecs.version": quote(elastic.ECSVersion), "event.kind": quote(kind.Kind), "event.dataset": quote(s.Dataset), "event.module": quote("monban"),
		}
		if len(kind.Category) > 0 {
			c["event.category"], c["event.type"] = quotes(kind.Category), quotes(kind.Type)
		}
		if kind.Action != "" {
			c["event.action"] = quote(kind.Action)
		}
		if ours {
			c["observer.vendor"], c["observer.product"], c["observer.type"] = quote("Monban"), quote("Monban"), quote("ids")
		}
		return c
	}
	for _, e := range reference.Events() {
		s := elastic.StreamOf("logs", elastic.Dataset(e.Name), mode, namespace)
		c := constants(s, elastic.KindOf(e.Name), true)
		if e.Name == "threat.report" {
			c["threat.framework"] = quote("MITRE ATT&CK")
		}
		p.byEvent[e.Name] = newPlan(s, &e, elastic.Leaves(e.Name), c)
	}
	s := elastic.StreamOf("logs", elastic.Other, mode, namespace)
	p.other = newPlan(s, nil, elastic.Leaves(""), constants(s, elastic.KindOf(""), false))
	for _, s := range elastic.Streams(mode, namespace) {
		if s.Type == "metrics" {
			c := constants(s, elastic.Kind{Kind: "metric"}, false)
			// the object of a data point is written as a whole
			leaves := slices.DeleteFunc(elastic.MetricLeaves(), func(l elastic.Leaf) bool { return strings.HasPrefix(l.Path, "metric.") })
			p.metrics[strings.TrimSuffix(s.Dataset, ".otel")] = newPlan(s, nil, append(leaves, elastic.Leaf{Path: "metric"}), c)
		}
	}
	return p
}

func newEncoder(mode elastic.Mode, namespace string) *encoder {
	return &encoder{plans: newPlans(mode, namespace), clock: flatjson.NewClock(), resource: pcommon.NewMap(), scope: pcommon.NewInstrumentationScope()}
}

// setScope makes these the resource and the scope of the records that follow.
func (e *encoder) setScope(r pcommon.Map, s pcommon.InstrumentationScope) {
	e.resource, e.scope = r, s
	e.resLabels, e.resKeys, e.host, e.service, e.head = e.resLabels[:0], e.resKeys[:0], e.host[:0], [3][]byte{}, e.head[:0]
	if e.mode == elastic.OTel {
		e.nativeHead()
		return
	}
	for k, v := range r.All() {
		switch k {
		case "host.name":
			e.host = flatjson.AppendString(e.host[:0], v.AsString()) // the last, should it come twice
		case "service.name":
			e.service[0] = flatjson.AppendString(nil, v.AsString())
		case "service.version":
			e.service[1] = flatjson.AppendString(nil, v.AsString())
		case "service.instance.id":
			e.service[2] = flatjson.AppendString(nil, v.AsString())
		default:
			e.resLabels, e.resKeys = appendLabel(e.resLabels, e.resKeys, k, v)
		}
	}
}

// appendRecord appends the lines of a record to a bulk request: the action and the document.
func (e *encoder) appendRecord(b []byte, lr plog.LogRecord) []byte {
	p := e.byEvent[lr.EventName()]
	if p == nil {
		p = e.other
	}
	e.id, e.stream = "", p.stream
	if e.mode == elastic.OTel {
		e.native(p, lr)
	} else {
		e.common(p, lr)
	}
	b = elastic.AppendAction(b, p.stream, e.id)
	b = append(b, e.doc...)
	return append(b, '\n')
}

// begin forgets the fields of the record before.
func (e *encoder) begin(p *plan) {
	e.values, e.labels, e.keys, e.derived = e.values[:0], append(e.labels[:0], e.resLabels...), append(e.keys[:0], e.resKeys...), derived{}
	e.mask = append(e.mask[:0], p.always...)
	if len(e.spans) < len(p.units) {
		e.spans = make([]span, len(p.units))
	}
}

// set makes what was appended to values since from the value of a unit.
func (e *encoder) set(unit, from int) {
	e.spans[unit] = span{from, len(e.values)}
	e.mask[unit/64] |= 1 << (unit % 64)
}

func (e *encoder) has(unit int) bool { return e.mask[unit/64]&(1<<(unit%64)) != 0 }

// text sets a unit to a text, unless there is no such unit.
func (e *encoder) text(unit int, s string) {
	if unit >= 0 {
		from := len(e.values)
		e.values = flatjson.AppendString(e.values, s)
		e.set(unit, from)
	}
}

func (e *encoder) raw(unit int, s []byte) {
	if unit >= 0 && len(s) > 0 {
		from := len(e.values)
		e.values = append(e.values, s...)
		e.set(unit, from)
	}
}

func (e *encoder) number(unit int, n int64) {
	if unit >= 0 {
		from := len(e.values)
		e.values = flatjson.AppendInt(e.values, n)
		e.set(unit, from)
	}
}

func (e *encoder) float(unit int, f float64) {
	if unit >= 0 {
		from := len(e.values)
		e.values = flatjson.AppendFloat(e.values, f)
		e.set(unit, from)
	}
}

func (e *encoder) time(unit int, ns int64) {
	if unit >= 0 {
		from := len(e.values)
		e.values = e.clock.AppendTime(e.values, ns)
		e.set(unit, from)
	}
}

// write makes the document out of the units that are set, and its id.
func (e *encoder) write(p *plan, at int64) {
	if len(e.labels) > 0 && p.labels >= 0 {
		from := len(e.values)
		e.values = append(append(append(e.values, '{'), e.labels[1:]...), '}')
		e.set(p.labels, from)
	}
	const none = `"......................"`
	from := len(e.values)
	if e.id != "" {
		e.values = flatjson.AppendString(e.values, e.id)
	} else {
		e.values = append(e.values, none...)
	}
	e.set(p.id, from)
	b := append(e.doc[:0], `{"@timestamp":`...)
	b = e.clock.AppendTime(b, at)
	node, idAt := 0, 0
	for w, word := range e.mask {
		for word != 0 {
			i := w*64 + bits.TrailingZeros64(word)
			word &= word - 1
			u := &p.units[i]
			b = append(b, p.trans[node*p.nodes+u.node]...)
			b = append(b, u.key...)
			node = u.node
			if p.always[w]&(1<<(i%64)) != 0 {
				continue
			}
			if i == p.id {
				idAt = len(b) + 1
			}
			s := e.spans[i]
			b = append(b, e.values[s.from:s.to]...)
		}
	}
	for range p.depth[node] + 1 {
		b = append(b, '}')
	}
	e.doc = b
	if e.id == "" {
		e.id = sum(b)
		copy(b[idAt:], e.id)
	}
}

// sum is the id of a document that has none of its own: made from all that it holds, the same
// whenever the same record is sent again.
func sum(b []byte) string {
	h := xxh3.Hash128(b).Bytes()
	var id [idLength]byte
	base64.RawURLEncoding.Encode(id[:], h[:])
	return string(id[:])
}

// own takes the id that a record brings along, which must be fit for the place.
func (e *encoder) own(id string) {
	if id == "" {
		return
	}
	e.id = id
	if len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		e.id = sum([]byte(id))
	}
}

// stamp is the record's time, else the time at which it was observed.
func stamp(lr plog.LogRecord) int64 {
	if t := lr.Timestamp(); t != 0 {
		return int64(t)
	}
	return int64(lr.ObservedTimestamp())
}

// appendLabel appends one label with a comma before it. Labels have no dots in their names and are
// texts. Two attributes whose names differ only in that both stay.
func appendLabel(b []byte, keys []string, name string, v pcommon.Value) ([]byte, []string) {
	if strings.ContainsRune(name, '.') {
		name = strings.ReplaceAll(name, ".", "_")
	}
	if strings.Trim(name, "_ ") == "" { // a name that a server refuses
		name = "attribute" + name
	}
	for i, tries := 0, 0; i < len(keys); i++ {
		if keys[i] != name {
			continue
		}
		if tries++; tries <= 3 {
			name, i = name+"_", -1
		} else { // many of them, perhaps meant to keep us busy
			name, i = name+strconv.Itoa(len(keys))+"_", -1
		}
	}
	b = append(flatjson.AppendString(append(b, ','), name), ':')
	switch v.Type() {
	case pcommon.ValueTypeStr:
		b = flatjson.AppendString(b, v.Str())
	case pcommon.ValueTypeInt:
		b = append(flatjson.AppendInt(append(b, '"'), v.Int()), '"')
	default:
		var buf [64]byte
		text := flatjson.AppendValue(buf[:0], v, 0)
		if text[0] != '"' {
			text = flatjson.AppendString(nil, string(text))
		}
		b = append(b, text...)
	}
	return b, append(keys, name)
}

// appendMAC appends a MAC address as ECS writes it, and any other text as it is.
func appendMAC(b []byte, s string) []byte {
	if !isMAC(s) {
		return flatjson.AppendString(b, s)
	}
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == ':':
			b = append(b, '-')
		case c >= 'a':
			b = append(b, c-'a'+'A')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// isMAC reports whether s is an EUI-48 as we write it.
func isMAC(s string) bool {
	if len(s) != 17 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'; i%3 == 2 && c != ':' || i%3 != 2 && !hex {
			return false
		}
	}
	return true
}

// inside reports whether an address belongs to a site by its kind.
func inside(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
