package kafka

import (
	"slices"
	"strings"
	"testing"
)

func FuzzDecodeMarks(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 7, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, value []byte) {
		marks, err := decodeMarks(nil, value)
		if (err == nil) != (len(value)%8 == 0) {
			t.Fatalf("%d bytes: %v", len(value), err)
		}
		if err != nil || len(marks) == 0 {
			return
		}
		p := Producer{cfg: Config{TransactionalID: "x", MaxMessageBytes: 1000000}}
		again := p.encodeMarks([]Message{{Marks: marks}})
		if !slices.Equal(again[0].Value, value) {
			t.Fatalf("%x became %x", value, again[0].Value)
		}
	})
}

// TestMarksFit cuts marks to what a message may have, and loses none of the batch.
func TestMarksFit(t *testing.T) {
	p := Producer{cfg: Config{TransactionalID: "x", MaxMessageBytes: 16384}}
	marks := make([]uint64, 5000)
	for i := range marks {
		marks[i] = uint64(i)
	}
	p.carry = marks
	var back, old []uint64
	for _, m := range p.encodeMarks([]Message{{Marks: marks[:3000]}, {Marks: marks[3000:]}}) {
		if len(m.Value) > 16384-100 {
			t.Errorf("a message of %d bytes", len(m.Value))
		}
		into := &back
		if strings.HasSuffix(string(m.Key), before) {
			into = &old
		}
		var err error
		if *into, err = decodeMarks(*into, m.Value); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(back, marks) || len(old) == 0 || !slices.Equal(old, marks[5000-len(old):]) {
		t.Errorf("%d marks came back, and %d of before", len(back), len(old))
	}
}
