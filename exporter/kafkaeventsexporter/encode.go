package kafkaeventsexporter

import (
	"maps"
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

// topics is where events go.
type topics struct {
	byKind map[string]string // by event
	all    []string
}

func newTopics(cfg *Config) *topics {
	t := &topics{byKind: map[string]string{}}
	for _, ev := range reference.Events() {
		t.byKind[ev.Name] = cfg.topic(ev.Name, ev.File)
	}
	t.byKind[reference.Other] = cfg.topic(reference.Other, reference.Other)
	t.all = slices.Compact(slices.Sorted(maps.Values(t.byKind)))
	return t
}

func (t *topics) kind(lr plog.LogRecord) string {
	if name := lr.EventName(); t.byKind[name] != "" {
		return name
	}
	return reference.Other
}

// encoder makes messages of records. It is not safe for concurrent use.
type encoder struct {
	*topics
	cfg   *Config
	json  *flatjson.Encoder
	proto plog.ProtoMarshaler
	line  []byte
	size  int               // of the last call's values, as a guess at the next one's
	bytes map[string][]byte // of keys and names that come again and again
}

func newEncoder(cfg *Config, t *topics) *encoder {
	return &encoder{topics: t, cfg: cfg, json: flatjson.NewEncoder(), bytes: map[string][]byte{}}
}

// maxBytes bounds the keys that are kept.
const maxBytes = 4096

// of gives the bytes of a text that is likely to come again. Nobody may change them.
func (e *encoder) of(s string) []byte {
	b, ok := e.bytes[s]
	if !ok {
		if len(e.bytes) >= maxBytes {
			clear(e.bytes)
		}
		b = []byte(s)
		e.bytes[string(b)] = b
	}
	return b
}

// content is what a message holds of one kind.
type content struct {
	message int // its index
	event   string
	records int
}

// batch is what one call sends.
type batch struct {
	messages []kafka.Message
	outcomes []string // of each message
	contents []content
	known    map[string]int // records left out, as they are there already, by event
}

func (b *batch) add(m kafka.Message) {
	b.messages, b.outcomes = append(b.messages, m), append(b.outcomes, outcomeSent)
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
				return e.of(s)
			}
		}
	}
	return nil
}

// encode makes the messages of ld, without records whose mark is known. Limit is how many bytes a topic's message may have.
func (e *encoder) encode(ld plog.Logs, known func(mark uint64) bool, limit func(topic string) int) (batch, error) {
	if e.cfg.Encoding == encodingOTLP {
		return e.encodeOTLP(ld, known, limit)
	}
	n := ld.LogRecordCount()
	b := batch{make([]kafka.Message, 0, n), make([]string, 0, n), make([]content, 0, n), map[string]int{}}
	buf, ends := make([]byte, 0, e.size+e.size/8), make([]int, 0, n)
	for _, rl := range ld.ResourceLogs().All() {
		resource := rl.Resource().Attributes()
		e.json.SetResource(resource)
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				kind := e.kind(lr)
				buf = e.json.AppendRecord(buf, lr)
				ends = append(ends, len(buf))
				b.add(kafka.Message{Topic: e.byKind[kind], Key: e.key(resource, lr)})
				b.contents = append(b.contents, content{len(b.contents), kind, 1})
			}
		}
	}
	e.json.SetResource(pcommon.NewMap()) // hold nothing of ld
	e.size = len(buf)
	marks, all := make([]uint64, n), newHeaders(e, n)
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
		marks[i] = mark
		m.Marks = marks[i : i+1 : i+1]
		m.Headers = all.of("application/json", c.event, mark)
		c.message = kept
		b.messages[kept], b.contents[kept] = m, c
		kept++
	}
	b.messages, b.outcomes, b.contents = b.messages[:kept], b.outcomes[:kept], b.contents[:kept]
	return b, nil
}

// headers are those of many messages, in one piece.
type headers struct {
	e   *encoder
	all []kgo.RecordHeader
	ids []byte
}

func newHeaders(e *encoder, n int) *headers {
	return &headers{e, make([]kgo.RecordHeader, 0, 3*n), make([]byte, 0, 16*n)}
}

// of tells what a message is without its value: in what form, of what kind, if it is of one, and an id which is the
// same when the same is sent again.
func (h *headers) of(form, event string, id uint64) []kgo.RecordHeader {
	first, begin := len(h.all), len(h.ids)
	h.all = append(h.all, kgo.RecordHeader{Key: "content-type", Value: h.e.of(form)})
	if event != "" {
		h.all = append(h.all, kgo.RecordHeader{Key: "event", Value: h.e.of(event)})
	}
	h.ids = strconv.AppendUint(h.ids, id, 16)
	h.all = append(h.all, kgo.RecordHeader{Key: "id", Value: h.ids[begin:len(h.ids):len(h.ids)]})
	return h.all[first:len(h.all):len(h.all)]
}

// group is the records of one message to be.
type group struct {
	topic    string
	key      []byte
	resource plog.ResourceLogs
	scope    plog.ScopeLogs
	records  []plog.LogRecord
	marks    []uint64
	most     int // bytes of a message
}

func (e *encoder) encodeOTLP(ld plog.Logs, known func(mark uint64) bool, limit func(topic string) int) (b batch, err error) {
	b.known = map[string]int{}
	marked := e.cfg.TransactionalID != "" // nobody asks for them else
	type place struct{ topic, key string }
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
				topic, key := e.byKind[kind], e.key(resource, lr)
				at := place{topic, string(key)}
				g := groups[at]
				if g == nil {
					g = &group{topic: topic, key: key, resource: rl, scope: sl, most: min(limit(topic), e.cfg.MaxMessageBytes)}
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
	if n := len(records); n > 1 && e.proto.LogsSize(ld)+len(g.key) > g.most-room {
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
	first := len(b.contents)
	for _, lr := range records {
		kind, i := e.kind(lr), first
		for i < len(b.contents) && b.contents[i].event != kind {
			i++
		}
		if i == len(b.contents) {
			b.contents = append(b.contents, content{len(b.messages), kind, 0})
		}
		b.contents[i].records++
	}
	kind := ""
	if len(b.contents) == first+1 {
		kind = b.contents[first].event
	}
	b.add(kafka.Message{
		Topic: g.topic, Key: g.key, Value: value, Marks: marks,
		Headers: newHeaders(e, 1).of("application/x-protobuf", kind, xxhash.Sum64(value)),
	})
	return nil
}
