package flatjson

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/reference"
)

// maxLine bounds a line, so that what is read can't take all memory.
const maxLine = 16 << 20

// maxMembers bounds an object: to find a name in a map takes as long as it has members.
const maxMembers = 4096

var errMembers = fmt.Errorf("it has more than %d members", maxMembers)

// Decoder reads what [Encoder] writes. It is safe for concurrent use.
//
// What an encoder leaves out can't come back: attributes of the resource are attributes of the record,
// bytes are text in base64, and a severity has no number unless its text is one of OpenTelemetry's.
type Decoder struct {
	times  map[string]bool // keys whose texts are points in time
	floats map[string]bool // keys whose numbers need not have a point
}

// NewDecoder makes a decoder.
func NewDecoder() *Decoder {
	d := &Decoder{times: reference.Times(), floats: map[string]bool{}}
	for _, e := range reference.Events() {
		for _, r := range e.Rows {
			if r.Kind == event.Float {
				d.floats[r.Key] = true
			}
		}
	}
	return d
}

// Decode appends the record of each line to records, and skips empty lines. Records before a line
// with an error stay.
func (d *Decoder) Decode(data []byte, records plog.LogRecordSlice) error {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(line) > maxLine {
			return fmt.Errorf("line %d: %d bytes are more than the %d that a record may have", n, len(line), maxLine)
		}
		lr := records.AppendEmpty()
		if err := d.record(line, lr); err != nil {
			records.RemoveIf(func(r plog.LogRecord) bool { return r == lr })
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

// record fills lr from one object.
func (d *Decoder) record(line []byte, lr plog.LogRecord) error {
	j := json.NewDecoder(bytes.NewReader(line))
	j.UseNumber()
	if t, err := j.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("it is not an object")
	}
	attrs := lr.Attributes()
	attrs.EnsureCapacity(24)
	for j.More() {
		t, err := j.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if attrs.Len() >= maxMembers {
			return errMembers
		}
		if err := d.member(j, name, lr, attrs); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := j.Token(); err != nil { // the closing brace
		return err
	}
	if _, err := j.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the object")
	}
	return nil
}

func (d *Decoder) member(j *json.Decoder, name string, lr plog.LogRecord, attrs pcommon.Map) error {
	switch name {
	case "body":
		t, err := j.Token()
		if err != nil {
			return err
		}
		return fill(j, t, lr.Body(), 0)
	case "timestamp", "event", "severity", "trace_id", "span_id":
		t, err := j.Token()
		if err != nil {
			return err
		}
		s, ok := t.(string)
		if !ok {
			return errors.New("it must be a text")
		}
		return envelope(name, s, lr)
	}
	if own, ok := strings.CutPrefix(name, "attribute."); ok {
		switch own {
		case "timestamp", "event", "severity", "body", "trace_id", "span_id":
			name = own
		}
	}
	t, err := j.Token()
	if err != nil {
		return err
	}
	v, _ := attrs.GetOrPutEmpty(name)
	if s, ok := t.(string); ok && d.times[name] {
		ns, err := parseTime(s)
		if err != nil {
			return err
		}
		v.SetInt(ns)
		return nil
	}
	if n, ok := t.(json.Number); ok && d.floats[name] {
		f, err := n.Float64()
		if err != nil {
			return err
		}
		v.SetDouble(f)
		return nil
	}
	return fill(j, t, v, 0)
}

func envelope(name, s string, lr plog.LogRecord) error {
	switch name {
	case "timestamp":
		ns, err := parseTime(s)
		if err != nil {
			return err
		}
		lr.SetTimestamp(pcommon.Timestamp(ns))
	case "event":
		lr.SetEventName(s)
	case "severity":
		lr.SetSeverityText(s)
		lr.SetSeverityNumber(severities[strings.ToLower(s)])
	case "trace_id":
		var id pcommon.TraceID
		if len(s) != 2*len(id) {
			return errors.New("it must have 32 digits")
		}
		if _, err := hex.Decode(id[:], []byte(s)); err != nil {
			return err
		}
		lr.SetTraceID(id)
	case "span_id":
		var id pcommon.SpanID
		if len(s) != 2*len(id) {
			return errors.New("it must have 16 digits")
		}
		if _, err := hex.Decode(id[:], []byte(s)); err != nil {
			return err
		}
		lr.SetSpanID(id)
	}
	return nil
}

// severities are OpenTelemetry's by name, and those of reports.
var severities = func() map[string]plog.SeverityNumber {
	all := map[string]plog.SeverityNumber{
		"low": plog.SeverityNumberInfo, "medium": plog.SeverityNumberWarn,
		"high": plog.SeverityNumberError, "critical": plog.SeverityNumberFatal,
	}
	for n := plog.SeverityNumberTrace; n <= plog.SeverityNumberFatal4; n++ {
		all[strings.ToLower(n.String())] = n
	}
	return all
}()

func parseTime(s string) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a time such as 2026-01-02T15:04:05.999999999Z", s)
	}
	if y := t.Year(); y < 1678 || y > 2261 {
		return 0, fmt.Errorf("%.40q can't be told in nanoseconds since 1970", s)
	}
	return t.UnixNano(), nil
}

// fill sets v to the value that begins with the token t.
func fill(j *json.Decoder, t json.Token, v pcommon.Value, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("it is nested deeper than %d", MaxDepth)
	}
	switch t := t.(type) {
	case string:
		v.SetStr(t)
	case bool:
		v.SetBool(t)
	case json.Number:
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			v.SetInt(n)
		} else if f, err := t.Float64(); err == nil {
			v.SetDouble(f)
		} else {
			return err
		}
	case json.Delim:
		if t == '[' {
			list := v.SetEmptySlice()
			for j.More() {
				t, err := j.Token()
				if err != nil {
					return err
				}
				if err := fill(j, t, list.AppendEmpty(), depth+1); err != nil {
					return err
				}
			}
		} else {
			m := v.SetEmptyMap()
			for j.More() {
				k, err := j.Token()
				if err != nil {
					return err
				}
				name, _ := k.(string)
				t, err := j.Token()
				if err != nil {
					return err
				}
				if m.Len() >= maxMembers {
					return errMembers
				}
				x, _ := m.GetOrPutEmpty(name)
				if err := fill(j, t, x, depth+1); err != nil {
					return err
				}
			}
		}
		_, err := j.Token() // its end
		return err
	}
	return nil // null is an empty value
}
