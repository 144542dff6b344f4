package elasticsearchexporter

import (
	"encoding/hex"
	"math"
	"net/netip"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/threat"
)

// common makes the document of a record under the names of the Elastic Common Schema.
func (e *encoder) common(p *plan, lr plog.LogRecord) {
	e.begin(p)
	attrs := logrecord.Attrs(lr)
	d := &e.derived
	for i := range attrs {
		a := &attrs[i]
		r := p.find(a.Key())
		if r.unit < 0 {
			if r.use == useRecordID {
				id, _ := a.Str()
				e.own(id)
			}
			e.labels, e.keys = appendLabel(e.labels, e.keys, a.Key(), a.Value())
			continue
		}
		from := len(e.values)
		if n, ok := a.Int(); ok {
			if r.how == timeValue {
				e.values = e.clock.AppendTime(e.values, n)
			} else {
				e.values = flatjson.AppendInt(e.values, n)
			}
			switch r.use {
			case useBytes:
				d.bytes += n
			case usePackets:
				d.packets += n
			case useStart:
				d.start, d.hasStart = n, true
			}
		} else if s, ok := a.Str(); ok {
			if r.how == macValue {
				e.values = appendMAC(e.values, s)
			} else {
				e.values = flatjson.AppendString(e.values, s)
			}
			switch r.use {
			case useSource:
				d.src = s
			case useDestination:
				d.dst = s
			case useSourceDevice:
				d.srcDevice = s
			case useDestinationDevice:
				d.dstDevice = s
			case useSeverity:
				d.severity = severities[s]
			}
		} else {
			v := a.Value()
			e.values = flatjson.AppendValue(e.values, v, 0)
			switch r.use {
			case useScore:
				d.score = v.Double()
			case useConfidence:
				d.confidence = v.Double()
			case useTechniques:
				if v.Type() == pcommon.ValueTypeSlice && d.techniqueLists < len(d.techniques) {
					d.techniques[d.techniqueLists] = v
					d.techniqueLists++
				}
			}
		}
		e.set(int(r.unit), from)
	}
	at := stamp(lr)
	e.envelope(p, lr)
	switch p.kind {
	case "network.flow":
		e.flow(p, lr, at)
	case "network.flood":
		e.totals(p)
		e.relate(p, event.ParseAddr(d.src), event.ParseAddr(d.dst))
	case "threat.report":
		e.report(p)
	}
	if d.score > 0 {
		e.float(p.risk, hundredths(100*d.score))
	}
	e.write(p, at)
}

// hundredths rounds what nobody needs more exactly.
func hundredths(f float64) float64 { return math.Round(100*f) / 100 }

// severities are report.severity as numbers, those that Elastic's own detection rules use.
var severities = map[string]int64{threat.Low: 21, threat.Medium: 47, threat.High: 73, threat.Critical: 99}

// envelope sets what any record may have, and what its resource says.
func (e *encoder) envelope(p *plan, lr plog.LogRecord) {
	if s := lr.SeverityText(); s != "" {
		e.text(p.level, s)
	} else if n := lr.SeverityNumber(); n != plog.SeverityNumberUnspecified {
		e.text(p.level, strings.ToLower(n.String()))
	}
	if n := lr.SeverityNumber(); n != plog.SeverityNumberUnspecified && p.kind != "threat.report" {
		e.number(p.severity, int64(n))
	}
	switch body := lr.Body(); body.Type() {
	case pcommon.ValueTypeEmpty:
	case pcommon.ValueTypeStr:
		e.text(p.message, body.Str())
	default:
		e.text(p.message, string(flatjson.AppendValue(nil, body, 0)))
	}
	if id := lr.TraceID(); !id.IsEmpty() {
		e.text(p.trace, hex.EncodeToString(id[:]))
	}
	if id := lr.SpanID(); !id.IsEmpty() {
		e.text(p.span, hex.EncodeToString(id[:]))
	}
	if !p.ours && lr.EventName() != "" {
		e.text(p.action, lr.EventName())
	}
	e.origin(p)
}

// origin sets what the resource says.
func (e *encoder) origin(p *plan) {
	if p.ours {
		e.raw(p.hostname, e.host)
	} else {
		e.raw(p.hostName, e.host)
	}
	for i, unit := range p.service {
		e.raw(unit, e.service[i])
	}
}

// totals sets the sums of both directions.
func (e *encoder) totals(p *plan) {
	e.number(p.bytes, e.derived.bytes)
	e.number(p.packets, e.derived.packets)
}

// relate sets related.ip, of what are addresses.
func (e *encoder) relate(p *plan, src, dst netip.Addr) {
	if p.related < 0 || !src.IsValid() && !dst.IsValid() {
		return
	}
	from := len(e.values)
	e.values = append(e.values, '[')
	if src.IsValid() {
		e.values = flatjson.AppendString(e.values, e.derived.src)
	}
	if dst.IsValid() && dst != src {
		if src.IsValid() {
			e.values = append(e.values, ',')
		}
		e.values = flatjson.AppendString(e.values, e.derived.dst)
	}
	e.values = append(e.values, ']')
	e.set(p.related, from)
}

// flow sets what follows from the rest of a flow.
func (e *encoder) flow(p *plan, lr plog.LogRecord, at int64) {
	d := &e.derived
	e.totals(p)
	e.time(p.end, at)
	if d.hasStart && at >= d.start {
		e.number(p.duration, at-d.start)
	}
	src, dst := event.ParseAddr(d.src), event.ParseAddr(d.dst)
	e.relate(p, src, dst)
	if src.IsValid() && dst.IsValid() {
		if src.Unmap().Is4() {
			e.raw(p.netType, ipv4)
		} else {
			e.raw(p.netType, ipv6)
		}
		e.raw(p.direction, directions[b2i(inside(src))<<1|b2i(inside(dst))])
		if !e.has(p.community) {
			var r flow.Record
			logrecord.Read(lr, flow.Fields, &r)
			r.Complete()
			if id := flow.CommunityID(&r); id != "" {
				e.text(p.community, id)
			}
		}
	}
	// An end whose MAC address is its device's id does not say it twice.
	e.device(p.sourceMAC, d.srcDevice)
	e.device(p.destinationMAC, d.dstDevice)
}

var (
	ipv4, ipv6 = []byte(`"ipv4"`), []byte(`"ipv6"`)
	directions = [4][]byte{[]byte(`"external"`), []byte(`"inbound"`), []byte(`"outbound"`), []byte(`"internal"`)}
)

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e *encoder) device(unit int, id string) {
	if isMAC(id) && !e.has(unit) {
		from := len(e.values)
		e.values = appendMAC(e.values, id)
		e.set(unit, from)
	}
}

// report sets what follows from the rest of a threat report.
func (e *encoder) report(p *plan) {
	d := &e.derived
	if d.severity > 0 {
		e.number(p.severity, d.severity)
		if d.confidence > 0 {
			e.float(p.risk, hundredths(float64(d.severity)*d.confidence))
		}
	}
	e.techniques(p.techniqueIDs, func(id, _ string) string { return id })
	e.techniques(p.techniqueNames, func(_, name string) string { return name })
}

// techniques sets a list made of the ids or the names of the techniques of both matrices.
func (e *encoder) techniques(unit int, part func(id, name string) string) {
	from := len(e.values)
	e.values = append(e.values, '[')
	for _, list := range e.derived.techniques[:e.derived.techniqueLists] {
		for _, v := range list.Slice().All() {
			id, name, _ := strings.Cut(v.Str(), " ")
			if s := part(id, name); s != "" {
				if len(e.values) > from+1 {
					e.values = append(e.values, ',')
				}
				e.values = flatjson.AppendString(e.values, s)
			}
		}
	}
	if len(e.values) == from+1 {
		e.values = e.values[:from]
		return
	}
	e.values = append(e.values, ']')
	e.set(unit, from)
}
