package kafkaeventsexporter

import (
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/flatjson"
	"github.com/monban/monban/internal/kafka"
	"github.com/monban/monban/internal/reference"
)

// encoder makes messages of records. It is not safe for concurrent use, save for kind and topics.
type encoder struct {
	cfg    *Config
	byKind map[string]string // topics, by event
	json   *flatjson.Encoder
	proto  plog.ProtoMarshaler
	line   []byte
	limit  func(topic string) int // bytes that a message may have there, nil where nobody knows
}

// most is how many bytes a message of a topic may have, with all that belongs to it.
func (e *encoder) most(topic string) int {
	if e.limit != nil {
		return min(e.limit(topic), e.cfg.MaxMessageBytes)
	}
	return e.cfg.MaxMessageBytes
}

// content is what a message holds.
type content struct {
	event   string
	records int
	outcome string
}

// batch is what one call sends; contents has an item for each message.
type batch struct {
	messages []kafka.Message
	contents []content
	known    map[string]int // records left out, as they are there already, by event
}

func newEncoder(cfg *Config) *encoder {
	e := &encoder{cfg: cfg, json: flatjson.NewEncoder(), byKind: map[string]string{}}
	for _, ev := range reference.Events() {
		e.byKind[ev.Name] = cfg.topic(ev.Name, ev.File)
	}
	e.byKind[reference.Other] = cfg.topic(reference.Other, reference.Other)
	return e
}

func (e *encoder) topics() (all []string) {
	for _, t := range e.byKind {
		all = append(all, t)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (e *encoder) kind(lr plog.LogRecord) string {
	if name := lr.EventName(); e.byKind[name] != "" {
		return name
	}
	return reference.Other
}

// key is the message's key, nil if the record has none of the attributes.
func (e *encoder) key(resource pcommon.Map, lr plog.LogRecord) []byte {
	for _, name := range e.cfg.Key {
		v, ok := lr.Attributes().Get(name)
		if !ok {
			v, ok = resource.Get(name)
		}
		if ok {
			if s := v.AsString(); s != "" {
				return []byte(s)
			}
		}
	}
	return nil
}

// encode makes the messages of ld, without records whose mark is known.
func (e *encoder) encode(ld plog.Logs, known func(mark uint64) bool) (batch, error) {
	if e.cfg.Encoding == encodingOTLP {
		return e.encodeOTLP(ld, known)
	}
	n := ld.LogRecordCount()
	b := batch{make([]kafka.Message, 0, n), make([]content, 0, n), map[string]int{}}
	var buf []byte
	ends := make([]int, 0, n)
	for _, rl := range ld.ResourceLogs().All() {
		resource := rl.Resource().Attributes()
		e.json.SetResource(resource)
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				kind := e.kind(lr)
				buf = e.json.AppendRecord(buf, lr)
				ends = append(ends, len(buf))
				b.messages = append(b.messages, kafka.Message{Topic: e.byKind[kind], Key: e.key(resource, lr)})
				b.contents = append(b.contents, content{kind, 1, outcomeSent})
			}
		}
	}
	e.json.SetResource(pcommon.NewMap()) // hold nothing of ld
	start, kept := 0, 0
	for i, end := range ends {
		m, c := b.messages[i], b.contents[i]
		m.Value = buf[start : end-1 : end-1] // without its newline
		start = end
		mark := xxhash.Sum64(m.Value)
		if known(mark) {
			b.known[c.event]++
			continue
		}
		m.Marks = []uint64{mark}
		m.Headers = headers("application/json", c.event, mark)
		b.messages[kept], b.contents[kept] = m, c
		kept++
	}
	b.messages, b.contents = b.messages[:kept], b.contents[:kept]
	return b, nil
}

// headers tell what a message is without its value: what kind, in what form, and an id which is the
// same when the same is sent again.
func headers(form, event string, id uint64) []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: "content-type", Value: []byte(form)},
		{Key: "event", Value: []byte(event)},
		{Key: "id", Value: strconv.AppendUint(nil, id, 16)},
	}
}

// group is the records of one message to be.
type group struct {
	kind     string
	key      []byte
	resource plog.ResourceLogs
	scope    plog.ScopeLogs
	records  []plog.LogRecord
	marks    []uint64
}

func (e *encoder) encodeOTLP(ld plog.Logs, known func(mark uint64) bool) (b batch, err error) {
	b.known = map[string]int{}
	marked := e.cfg.TransactionalID != "" // nobody asks for them else
	type place struct{ kind, key string }
	groups := map[place]*group{}
	var order []*group
	for _, rl := range ld.ResourceLogs().All() {
		resource := rl.Resource().Attributes()
		e.json.SetResource(resource)
		for _, sl := range rl.ScopeLogs().All() {
			clear(groups)
			for _, lr := range sl.LogRecords().All() {
				kind := e.kind(lr)
				var mark uint64
				if marked {
					e.line = e.json.AppendRecord(e.line[:0], lr)
					if mark = xxhash.Sum64(e.line[:len(e.line)-1]); known(mark) {
						b.known[kind]++
						continue
					}
				}
				key := e.key(resource, lr)
				at := place{kind, string(key)}
				g := groups[at]
				if g == nil {
					g = &group{kind: kind, key: key, resource: rl, scope: sl}
					groups[at], order = g, append(order, g)
				}
				g.records = append(g.records, lr)
				if marked {
					g.marks = append(g.marks, mark)
				}
			}
		}
	}
	e.json.SetResource(pcommon.NewMap())
	for _, g := range order {
		if err := e.add(&b, g, g.records, g.marks); err != nil {
			return batch{}, err
		}
	}
	return b, nil
}

// add adds a message of the records, or several when they are too large for one.
func (e *encoder) add(b *batch, g *group, records []plog.LogRecord, marks []uint64) error {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	g.resource.Resource().CopyTo(rl.Resource())
	rl.SetSchemaUrl(g.resource.SchemaUrl())
	sl := rl.ScopeLogs().AppendEmpty()
	g.scope.Scope().CopyTo(sl.Scope())
	sl.SetSchemaUrl(g.scope.SchemaUrl())
	sl.LogRecords().EnsureCapacity(len(records))
	for _, lr := range records {
		lr.CopyTo(sl.LogRecords().AppendEmpty())
	}
	const room = 512 // for headers and what Kafka adds
	if n := len(records); n > 1 && e.proto.LogsSize(ld)+len(g.key) > e.most(e.byKind[g.kind])-room {
		half := min(n/2, len(marks)) // there may be none
		if err := e.add(b, g, records[:n/2], marks[:half]); err != nil {
			return err
		}
		return e.add(b, g, records[n/2:], marks[half:])
	}
	value, err := e.proto.MarshalLogs(ld)
	if err != nil {
		return err
	}
	b.messages = append(b.messages, kafka.Message{
		Topic: e.byKind[g.kind], Key: g.key, Value: value, Marks: marks,
		Headers: headers("application/x-protobuf", g.kind, xxhash.Sum64(value)),
	})
	b.contents = append(b.contents, content{g.kind, len(records), outcomeSent})
	return nil
}
