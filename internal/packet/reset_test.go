package packet

import (
	"reflect"
	"testing"
	"unsafe"
)

// What most packets have must stay within two cache lines.
func TestHeaderLines(t *testing.T) {
	if at := unsafe.Offsetof(Header{}.MoreFrag); at != 128 {
		t.Errorf("what few have begins at byte %d, not after two cache lines", at)
	}
}

// A header that is used again, whatever was decoded into it before, must be as a new one.
func TestHeaderIsUsedAgain(t *testing.T) {
	var d Decoder
	var again Header
	n := 0
	for _, path := range filesBelow(t, dataDir(t)) {
		if s, err := OpenFiles(path); err != nil {
			continue // no capture
		} else {
			s.Close()
		}
		_ = eachFrame(t, path, func(f *Frame) {
			var fresh Header
			why, as := d.Decode(f, &again), d.Decode(f, &fresh)
			if why != as || !same(again, fresh) {
				t.Fatalf("%s: %v %+v, new: %v %+v", path, why, again, as, fresh)
			}
			n++
		})
	}
	t.Log(n, "frames")
}

// same compares what two headers say.
func same(a, b Header) bool {
	a.tidy, b.tidy = false, false
	return reflect.DeepEqual(a, b)
}
