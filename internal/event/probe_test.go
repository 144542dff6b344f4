package event

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

type inner struct {
	pad [3]byte
	n16 uint16
	yes bool
}

type everything struct {
	i8   int8
	u8   uint8
	in   inner
	i32  int32
	u64  uint64
	time int64
	real float64
	text string
	kind namedText
	list []string
	ints []int64
	addr netip.Addr
}

type namedText string

var all = NewTable("test.all", "", []Field[everything]{
	Number("i8", "", "", func(r *everything) *int8 { return &r.i8 }),
	Number("u8", "", "", func(r *everything) *uint8 { return &r.u8 }),
	Number("n16", "", "", func(r *everything) *uint16 { return &r.in.n16 }),
	Flag("yes", "", func(r *everything) *bool { return &r.in.yes }),
	Number("i32", "", "", func(r *everything) *int32 { return &r.i32 }),
	Number("u64", "", "", func(r *everything) *uint64 { return &r.u64 }),
	Instant("time", "", func(r *everything) *int64 { return &r.time }),
	Real("real", "", "", func(r *everything) *float64 { return &r.real }),
	Text("text", "", func(r *everything) *string { return &r.text }),
	Text("kind", "", func(r *everything) *namedText { return &r.kind }),
	Texts("list", "", func(r *everything) *[]string { return &r.list }),
	Numbers("ints", "", "", func(r *everything) *[]int64 { return &r.ints }),
	Address("addr", "", func(r *everything) *netip.Addr { return &r.addr }),
	Number("unless", "", "", func(r *everything) *int32 { return &r.i32 }).Unless(func(r *everything) bool { return r.i32 == 7 }),
})

// said collects what is put, as text.
type said []string

func (s *said) put(k string, v any)             { *s = append(*s, fmt.Sprint(k, "=", v)) }
func (s *said) PutInt(k string, v int64)        { s.put(k, v) }
func (s *said) PutFloat(k string, v float64)    { s.put(k, v) }
func (s *said) PutBool(k string, v bool)        { s.put(k, v) }
func (s *said) PutString(k string, v string)    { s.put(k, v) }
func (s *said) PutStrings(k string, v []string) { s.put(k, v) }
func (s *said) PutInts(k string, v []int64)     { s.put(k, v) }
func (s *said) PutReasons(k string, v []Reason) { s.put(k, v) }

// number is a value that is one.
type number int64

func (n number) Int() int64      { return int64(n) }
func (number) Float() float64    { return 0 }
func (number) Bool() bool        { return false }
func (number) Str() string       { return "" }
func (number) Strs() []string    { return nil }
func (number) Ints() []int64     { return nil }
func (number) Reasons() []Reason { return nil }

// What is below zero is no count, and stays what it is where the field has a sign.
func TestUnsignedFieldsReadNothingNegative(t *testing.T) {
	for _, c := range []struct {
		key     string
		n, want int64
	}{
		{"i8", -3, -3}, {"u8", -3, 0}, {"u8", 3, 3}, {"n16", -1 << 63, 0}, {"i32", -1 << 31, -1 << 31}, {"u64", -1, 0},
		{"u64", 1<<63 - 1, 1<<63 - 1}, {"time", -1, -1},
	} {
		var r everything
		all.Set(&r, c.key, number(c.n), 0)
		got := map[string]int64{"i8": int64(r.i8), "u8": int64(r.u8), "n16": int64(r.in.n16), "i32": int64(r.i32), "u64": int64(r.u64), "time": r.time}
		if got[c.key] != c.want {
			t.Errorf("%s reads %d as %d, want %d", c.key, c.n, got[c.key], c.want)
		}
	}
}

func TestOnlyWhatIsNotZeroIsPut(t *testing.T) {
	for _, c := range []struct {
		name string
		r    everything
		want []string
	}{
		{"nothing", everything{}, nil},
		{"empty is zero", everything{text: "x"[:0], list: []string{}, ints: make([]int64, 0, 4)}, nil},
		{"each", everything{-1, 2, inner{n16: 3, yes: true}, 4, 1 << 40, 6, 0.5, "text", "kind", []string{"a"}, []int64{0}, netip.MustParseAddr("::1")},
			[]string{"i8=-1", "u8=2", "n16=3", "yes=true", "i32=4", "u64=1099511627776", "time=6", "real=0.5", "text=text", "kind=kind", "list=[a]", "ints=[0]", "addr=::1", "unless=4"}},
		{"only high bytes", everything{in: inner{n16: 256}, u64: 1 << 63, i32: 1 << 30}, []string{"n16=256", "i32=1073741824", "u64=9223372036854775807", "unless=1073741824"}},
		{"neighbours don't count", everything{u8: 1, in: inner{pad: [3]byte{1, 1, 1}}}, []string{"u8=1"}},
		{"what follows is left out", everything{i32: 7}, []string{"i32=7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got said
			all.Put(&c.r, &got)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}
