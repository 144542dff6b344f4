package form

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// thing has a field of every kind.
type thing struct {
	u64  uint64
	u32  uint32
	u16  uint16
	u8   uint8
	at   int64
	flag bool
	f    float64
	g    float32
	gs   [3]float32
	n    int
	raw  [6]byte
	blob []byte
	text string
	list []string
	addr netip.Addr
	by   map[netip.Addr]*thing
	on   map[string]*thing
	set  map[string]bool
}

var errOther = errors.New("of another version")

func (x *thing) walk(w *Walk) {
	w.U64(&x.u64)
	w.U32(&x.u32)
	w.U16(&x.u16)
	w.U8(&x.u8)
	w.I64(&x.at)
	w.Flag(&x.flag)
	w.F64(&x.f)
	w.F32(&x.g)
	w.F32s(x.gs[:])
	Count(w, &x.n)
	w.Raw(x.raw[:])
	w.Blob(&x.blob)
	w.Text(&x.text)
	w.Texts(&x.list, 5)
	w.Addr(&x.addr)
	Map(w, &x.by, 5, netip.Addr.Compare, w.Addr, func(p **thing) {
		if w.Reading() {
			*p = &thing{}
		}
		(*p).walk(w)
	})
	Named(w, &x.on, 5, func(p **thing) {
		if w.Reading() {
			*p = &thing{}
		}
		(*p).walk(w)
	})
	Set(w, &x.set, 5, strings.Compare, w.Text, true)
}

func write(x *thing) []byte {
	w := Writer(10)
	w.Head("thing", 3, errOther)
	x.walk(w)
	return w.Bytes()
}

func read(data []byte) (*thing, error) {
	w, x := Reader(data), &thing{}
	w.Head("thing", 3, errOther)
	x.walk(w)
	return x, w.End()
}

func full() *thing {
	x := &thing{u64: 1 << 63, u32: 1 << 31, u16: 1 << 15, u8: 255, at: math.MinInt64, flag: true, f: -math.MaxFloat64, g: math.SmallestNonzeroFloat32, gs: [3]float32{1, 2, 3},
		n: -300, raw: [6]byte{1, 2, 3, 4, 5, 6}, blob: []byte{7}, text: "not \xff UTF-8", list: []string{"", "a"}, addr: netip.MustParseAddr("10.0.0.1"), set: map[string]bool{"x": true, "": true}}
	x.by = map[netip.Addr]*thing{}
	for _, a := range []string{"fe80::1%eth0", "fe80::1", "::ffff:1.2.3.4", "1.2.3.4"} {
		x.by[netip.MustParseAddr(a)] = &thing{text: a, f: math.Copysign(0, -1)}
	}
	x.by[netip.Addr{}] = &thing{}
	x.on = map[string]*thing{"b": {text: "B", on: map[string]*thing{"c": {}, "d": {}}}, "a": {}, "": {on: map[string]*thing{"x": {}}}}
	return x
}

func TestThereAndBack(t *testing.T) {
	for _, x := range []*thing{{}, full()} {
		data := write(x)
		got, err := read(data)
		if err != nil || !reflect.DeepEqual(got, x) {
			t.Fatalf("%v: %+v, want %+v", err, got, x)
		}
		for range 20 { // maps come in another order each time
			if again := write(got); !bytes.Equal(again, data) {
				t.Fatal("the same state gives other bytes")
			}
		}
		for i := range data {
			if _, err := read(data[:i]); !errors.Is(err, ErrDamaged) {
				t.Errorf("cut after %d of %d bytes: %v", i, len(data), err)
			}
		}
		if _, err := read(append(data, 0)); !errors.Is(err, ErrDamaged) {
			t.Errorf("with a byte more: %v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	head := func(what string, version uint16) []byte {
		w := Writer(0)
		w.Head(what, version, errOther)
		(&thing{}).walk(w)
		return w.Bytes()
	}
	if _, err := read(head("thing", 4)); !errors.Is(err, errOther) || err.Error() != "of another version: 4, this program writes 3" {
		t.Error(err)
	}
	if _, err := read(head("thin", 3)); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	for name, x := range map[string]*thing{
		"NaN": {f: math.NaN()}, "infinite": {g: float32(math.Inf(1))}, "a list too long": {list: make([]string, 6)},
		"a map too large": {set: map[string]bool{"1": true, "2": true, "3": true, "4": true, "5": true, "6": true}},
	} {
		if _, err := read(write(x)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := Writer(0) // keys out of order, and twice the same
	n := 2
	Count(w, &n)
	for _, k := range []string{"b", "a"} {
		w.Text(&k)
	}
	var set map[string]bool
	r := Reader(w.Bytes())
	if Set(r, &set, 5, strings.Compare, r.Text, true); r.End() == nil || set != nil {
		t.Errorf("%v taken", set)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(write(&thing{}))
	f.Add(write(full()))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := read(data)
		if err != nil {
			return
		}
		again, err := read(write(x))
		if err != nil || !reflect.DeepEqual(again, x) {
			t.Fatalf("%v: %+v, want %+v", err, again, x)
		}
	})
}
