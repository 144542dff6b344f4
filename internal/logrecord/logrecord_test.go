package logrecord_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/threat"
)

// fill puts something into every field of a struct, or into the only'th leaf alone.
type fill struct {
	rng  *rand.Rand
	only int // -1 for all
	leaf int
}

func (f *fill) value(v reflect.Value) {
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[netip.Addr]() {
		for i := range v.NumField() {
			field := v.Field(i)
			if !field.CanSet() {
				field = reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
			}
			f.value(field)
		}
		return
	}
	f.leaf++
	if f.only >= 0 && f.leaf-1 != f.only {
		return
	}
	n := 1 + f.rng.Uint64N(200)
	switch x := v.Addr().Interface().(type) {
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{10, byte(n), byte(n >> 8), 1})
		if n%3 == 0 {
			*x = netip.MustParseAddr(fmt.Sprintf("fe80::%x", n))
		}
		return
	case *packet.MAC:
		*x = packet.MAC{2, byte(n), 3, 4, 5, 6}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(n) % 127)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(n)
	case reflect.Float64:
		v.SetFloat(float64(n) / 7)
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d „ü“", n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		inner := fill{rng: f.rng, only: -1}
		for i := range 3 {
			inner.value(v.Index(i))
		}
	default:
		panic(v.Kind().String())
	}
}

// kind is one table with what the tests need to know of it.
type kind struct {
	name   string
	rows   []event.Row
	leaves int
	// trip writes a record with everything, or one leaf, and reads it back.
	trip func(t *testing.T, seed uint64, only int)
	// read reads a log record and writes what was understood.
	read func(lr plog.LogRecord) plog.LogRecord
}

func table[R any](t *event.Table[R], sane, complete func(*R)) kind {
	count := &fill{rng: rand.New(rand.NewPCG(0, 0)), only: math.MaxInt}
	count.value(reflect.ValueOf(new(R)).Elem())
	return kind{
		name: t.Name, rows: t.Describe().Rows, leaves: count.leaf,
		trip: func(tb *testing.T, seed uint64, only int) {
			tb.Helper()
			var want, got R
			f := &fill{rng: rand.New(rand.NewPCG(seed, 1)), only: only}
			f.value(reflect.ValueOf(&want).Elem())
			sane(&want)
			lr := logrecord.Append(plog.NewLogRecordSlice(), t, 77, &want)
			if lr.EventName() != t.Name || lr.Timestamp() != 77 {
				tb.Errorf("event %q at %d", lr.EventName(), lr.Timestamp())
			}
			logrecord.Read(lr, t, &got)
			complete(&got)
			sane(&got)
			if !reflect.DeepEqual(want, got) {
				tb.Errorf("seed %d, leaf %d:\nwrote %+v\nread  %+v\nattributes %v", seed, only, want, got, lr.Attributes().AsRaw())
			}
		},
		read: func(lr plog.LogRecord) plog.LogRecord {
			var r R
			logrecord.Read(lr, t, &r)
			complete(&r)
			return logrecord.Append(plog.NewLogRecordSlice(), t, 1, &r)
		},
	}
}

func nothing[R any](*R) {}

// tables lists every event kind. What stands in the log record itself, or follows
// from the rest, is made equal before it is compared.
func tables() []kind {
	return []kind{
		table(flow.Fields, func(r *flow.Record) {
			r.End = 0
			if r.Src.Addr.IsValid() {
				r.Net = 0 // follows from the address
			}
			if r.Net < 0x600 && !r.Src.Addr.IsValid() {
				r.Net, r.Proto = 0, 0 // a length, and no EtherType
			}
			if r.Part == 0 {
				r.Since = 0 // that of the flow
				if r.Reason != flow.Active {
					r.ID = 0 // nobody needs it
				}
			}
			r.Complete()
		}, (*flow.Record).Complete),
		table(app.Sightings, func(r *app.Sighting) { r.Time = 0 }, nothing[app.Sighting]),
		table(app.Captures, func(r *app.Capture) { r.Time = 0 }, nothing[app.Capture]),
		table(device.Records, func(r *device.Record) { r.Time = 0 }, nothing[device.Record]),
		table(baseline.Statuses, func(r *baseline.Status) { r.Time = 0 }, nothing[baseline.Status]),
		table(baseline.Observations, func(r *baseline.Observation) { r.Time = 0 }, nothing[baseline.Observation]),
		table(threat.Reports, func(r *threat.Report) { r.Time = 0 }, nothing[threat.Report]),
	}
}

func TestRoundTrip(t *testing.T) {
	for _, k := range tables() {
		t.Run(k.name, func(t *testing.T) {
			for seed := range uint64(30) {
				k.trip(t, seed, -1)
			}
			for leaf := range k.leaves {
				k.trip(t, 5, leaf)
			}
		})
	}
}

func TestZerosAreLeftOut(t *testing.T) {
	for _, k := range tables() {
		out := k.read(plog.NewLogRecord())
		m := out.Attributes()
		m.RemoveIf(func(key string, _ pcommon.Value) bool { return key == "network.transport" }) // EtherType 0 is llc
		if m.Len() > 0 {
			t.Errorf("%s: an empty record has %v", k.name, m.AsRaw())
		}
	}
}

// values is one of each type that an attribute can have.
func values() map[string]pcommon.Value {
	all := map[string]pcommon.Value{
		"nothing": pcommon.NewValueEmpty(), "text": pcommon.NewValueStr("\xff\x00 text"), "int": pcommon.NewValueInt(math.MinInt64),
		"double": pcommon.NewValueDouble(math.NaN()), "bool": pcommon.NewValueBool(true), "bytes": pcommon.NewValueBytes(),
		"map": pcommon.NewValueMap(), "slice": pcommon.NewValueSlice(),
	}
	all["bytes"].Bytes().Append(1, 2)
	all["map"].Map().PutEmptySlice("kind").AppendEmpty().SetInt(1)
	for _, k := range []string{"nothing", "text", "int", "map"} {
		all[k].CopyTo(all["slice"].Slice().AppendEmpty())
	}
	return all
}

// fits lists the types that each kind of field takes.
var fits = map[event.Kind][]string{
	event.Int: {"int"}, event.Time: {"int"}, event.Float: {"double", "int"}, event.Bool: {"bool"}, event.String: {"text"},
	event.Strings: {"slice"}, event.Ints: {"slice"}, event.Reasons: {"slice"},
}

func TestWrongTypesAreNothing(t *testing.T) {
	for _, k := range tables() {
		for _, row := range k.rows {
			for name, v := range values() {
				lr := plog.NewLogRecord()
				v.CopyTo(lr.Attributes().PutEmpty(row.Key))
				out := k.read(lr) // must not panic, whatever the type
				if !slices.Contains(fits[row.Kind], name) {
					if _, taken := out.Attributes().Get(row.Key); taken && row.Key != "network.transport" {
						t.Errorf("%s: %s, which is %s, takes %s for %v", k.name, row.Key, row.Kind, name, out.Attributes().AsRaw()[row.Key])
					}
				}
			}
		}
	}
}

func TestWholeNumbersAreNumbers(t *testing.T) {
	lr := plog.NewLogRecord()
	lr.Attributes().PutInt("flow.message.interval", 60)
	var r flow.Record
	logrecord.Read(lr, flow.Fields, &r)
	if r.Interval != 60 {
		t.Errorf("interval is %g", r.Interval)
	}
}

// A count that an event can't hold is the greatest that it can, whichever way it is written; what
// is below zero, as another program may write it, is no count.
func TestCountsAreNeverNegative(t *testing.T) {
	in := usual()
	in.Src.Packets, in.Src.Bytes, in.Src.Frames = math.MaxUint64, 1<<63, math.MaxInt64
	in.Dst.Packets, in.Dst.Bytes, in.Dst.Frames = 1<<63-1, 1<<63+1, 1
	var arena logrecord.Arena
	put := plog.NewLogRecord()
	logrecord.Put(put, flow.Fields, in, "flow.io.packets", "flow.io.bytes", "flow.reverse.io.packets", "flow.reverse.io.bytes")
	for name, lr := range map[string]plog.LogRecord{
		"slab": logrecord.AppendTo(&arena, plog.NewLogRecordSlice(), flow.Fields, 1, in), "each": logrecord.Append(plog.NewLogRecordSlice(), flow.Fields, 1, in),
		"field by field": put,
	} {
		for _, key := range []string{"flow.io.packets", "flow.io.bytes", "flow.reverse.io.packets", "flow.reverse.io.bytes"} {
			if v, _ := lr.Attributes().Get(key); v.Int() != math.MaxInt64 {
				t.Errorf("%s: %s is %d", name, key, v.Int())
			}
			lr.Attributes().PutInt(key, -1)
		}
		lr.Attributes().PutInt("destination.port", -1)
		var r flow.Record
		logrecord.Read(lr, flow.Fields, &r)
		if r.Src.Packets|r.Src.Bytes|r.Dst.Packets|r.Dst.Bytes != 0 || r.Dst.Port != 0 {
			t.Errorf("%s: read %+v", name, r)
		}
	}
}

func TestAttributesInAnyOrder(t *testing.T) {
	in := usual()
	in.Anomaly = event.Anomaly{Score: 0.5, Reasons: []event.Reason{{Kind: "new_peer", Device: "d", Subject: "s", Strength: 2, Expected: "e", Seen: "x"}}}
	lr := logrecord.Append(plog.NewLogRecordSlice(), flow.Fields, 1, in)
	var want flow.Record
	logrecord.Read(lr, flow.Fields, &want)
	keys := []string{}
	for k := range lr.Attributes().All() {
		keys = append(keys, k)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for range 50 {
		rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		mixed := plog.NewLogRecord()
		for i, k := range keys {
			v, _ := lr.Attributes().Get(k)
			v.CopyTo(mixed.Attributes().PutEmpty(k))
			mixed.Attributes().PutStr(fmt.Sprint("other.", i), "not ours")
		}
		var got flow.Record
		logrecord.Read(mixed, flow.Fields, &got)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("in the order %v:\n%+v\nwant\n%+v", keys, got, want)
		}
	}
}

func TestPutAddsAndLeavesTheRest(t *testing.T) {
	r := usual()
	lr := logrecord.Append(plog.NewLogRecordSlice(), flow.Fields, 1, r)
	lr.Attributes().PutStr("somebody.else", "kept")
	before := lr.Attributes().Len()
	r.Anomaly = event.Anomaly{Score: 0.25, Reasons: []event.Reason{{Kind: "k"}, {Kind: "l"}}}
	r.Service = "changed, but not asked for"
	for range 2 { // twice: it replaces
		logrecord.Put(lr, flow.Fields, r, "anomaly.score", "anomaly.reasons", "no.such.key")
	}
	if got := lr.Attributes().Len(); got != before+2 {
		t.Errorf("%d attributes, want %d", got, before+2)
	}
	var got flow.Record
	logrecord.Read(lr, flow.Fields, &got)
	if !reflect.DeepEqual(got.Anomaly, r.Anomaly) || got.Service == r.Service {
		t.Errorf("read back: %+v", got)
	}
	if v, ok := lr.Attributes().Get("somebody.else"); !ok || v.Str() != "kept" {
		t.Error("what others put is gone")
	}
}

// FuzzRead reads whatever OTLP can carry with every table.
func FuzzRead(f *testing.F) {
	ld := plog.NewLogs()
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	logrecord.Append(records, flow.Fields, 1, usual())
	odd := records.AppendEmpty()
	for name, v := range values() {
		v.CopyTo(odd.Attributes().PutEmpty(name))
	}
	seed, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	all := tables()
	f.Fuzz(func(t *testing.T, data []byte) {
		ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(data)
		if err != nil {
			return
		}
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					for _, k := range all {
						k.read(lr)
					}
				}
			}
		}
	})
}
