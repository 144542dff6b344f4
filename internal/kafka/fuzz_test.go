package kafka

import (
	"slices"
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
		p := Producer{cfg: Config{TransactionalID: "x"}}
		again := p.encodeMarks([]Message{{Marks: marks}})
		if !slices.Equal(again[0].Value, value) {
			t.Fatalf("%x became %x", value, again[0].Value)
		}
	})
}
