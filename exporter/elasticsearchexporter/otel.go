package elasticsearchexporter

import (
	"encoding/hex"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/logrecord"
)

// nativeHead makes the members that the records of one scope share.
func (e *encoder) nativeHead() {
	b := append(e.head[:0], `,"resource":{"attributes":{`...)
	b = appendMembers(b, e.resource)
	b = append(b, '}', '}')
	if name := e.scope.Name(); name != "" {
		b = append(b, `,"scope":{"name":`...)
		b = flatjson.AppendString(b, name)
		if v := e.scope.Version(); v != "" {
			b = append(b, `,"version":`...)
			b = flatjson.AppendString(b, v)
		}
		b = append(b, '}')
	}
	e.head = b
}

func appendMembers(b []byte, m pcommon.Map) []byte {
	first := true
	for k, v := range m.All() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendName(b, k), ':')
		b = flatjson.AppendValue(b, v, 0)
	}
	return b
}

// appendName appends the name of a field; servers refuse one that is empty or has an empty part.
func appendName(b []byte, name string) []byte {
	bad := name == ""
	for i := range len(name) {
		if name[i] == '.' && (i == 0 || i == len(name)-1 || name[i-1] == '.') {
			bad = true
		}
	}
	if bad {
		name = strconv.Quote(name)
	}
	return flatjson.AppendString(b, name)
}

// native makes the document of a record as OpenTelemetry has it.
func (e *encoder) native(p *plan, lr plog.LogRecord) {
	b := append(e.doc[:0], `{"@timestamp":`...)
	b = e.clock.AppendTime(b, stamp(lr))
	if t := lr.ObservedTimestamp(); t != 0 && t != lr.Timestamp() {
		b = e.clock.AppendTime(append(b, `,"observed_timestamp":`...), int64(t))
	}
	b = append(b, p.nativeStream...)
	if name := lr.EventName(); name != "" {
		b = flatjson.AppendString(append(b, `,"event_name":`...), name)
	}
	if n := lr.SeverityNumber(); n != plog.SeverityNumberUnspecified {
		b = flatjson.AppendInt(append(b, `,"severity_number":`...), int64(n))
	}
	if s := lr.SeverityText(); s != "" {
		b = flatjson.AppendString(append(b, `,"severity_text":`...), s)
	}
	switch body := lr.Body(); body.Type() {
	case pcommon.ValueTypeEmpty:
	case pcommon.ValueTypeStr:
		b = append(flatjson.AppendString(append(b, `,"body":{"text":`...), body.Str()), '}')
	case pcommon.ValueTypeMap:
		b = append(flatjson.AppendValue(append(b, `,"body":{"structured":`...), body, 0), '}')
	default:
		text := flatjson.AppendValue(nil, body, 0)
		b = append(flatjson.AppendString(append(b, `,"body":{"text":`...), string(text)), '}')
	}
	if id := lr.TraceID(); !id.IsEmpty() {
		b = append(hex.AppendEncode(append(b, `,"trace_id":"`...), id[:]), '"')
	}
	if id := lr.SpanID(); !id.IsEmpty() {
		b = append(hex.AppendEncode(append(b, `,"span_id":"`...), id[:]), '"')
	}
	b = append(b, `,"attributes":{`...)
	attrs := logrecord.Attrs(lr)
	for i := range attrs {
		a := &attrs[i]
		if i > 0 {
			b = append(b, ',')
		}
		r := p.find(a.Key())
		name := a.Key()
		if r.native != "" {
			name = r.native
		}
		b = append(appendName(b, name), ':')
		if n, ok := a.Int(); ok {
			if r.how == timeValue {
				b = e.clock.AppendTime(b, n)
			} else {
				b = flatjson.AppendInt(b, n)
			}
		} else if s, ok := a.Str(); ok {
			b = flatjson.AppendString(b, s)
			if r.use == useRecordID {
				e.own(s)
			}
		} else {
			b = flatjson.AppendValue(b, a.Value(), 0)
		}
	}
	b = append(b, '}')
	b = append(b, e.head...)
	e.finish(append(b, '}'))
}

// finish takes a document and gives it an id unless it has one.
func (e *encoder) finish(b []byte) {
	e.doc = b
	if e.id == "" {
		e.id = sum(b)
	}
}
