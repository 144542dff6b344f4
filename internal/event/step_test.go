package event

import (
	"net/netip"
	"testing"
)

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "255.255.255.255", "0.0.0.0", "01.2.3.4", "1.2.3.256", "1.2.3", "1.2.3.4.5", "1..3.4", ".1.2.3", "1.2.3.", "1.2.3.4%x",
		"::1", "fe80::1%eth0", "::ffff:1.2.3.4", "10.20.30.1234", "1.2.3.-4", "00.0.0.0", "1.2.3.4\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, _ := netip.ParseAddr(s)
		if got := ParseAddr(s); got != want {
			t.Errorf("%q is %v, not %v", s, got, want)
		}
	})
}

// The steps are the fields: of each that has a place, the place is right.
func TestSteps(t *testing.T) {
	if len(all.Steps()) != len(all.Fields) || len(all.Keys()) != len(all.Fields) {
		t.Fatalf("%d steps and %d keys of %d fields", len(all.Steps()), len(all.Keys()), len(all.Fields))
	}
	want := map[string]Op{"i8": OpInt8, "u8": OpUint8, "n16": OpUint16, "yes": OpBool, "i32": OpInt32, "u64": OpUint64, "time": OpInt64, "real": OpFloat,
		"text": OpString, "kind": OpString, "list": OpStrings, "ints": OpInts, "addr": OpAddr, "unless": OpInt32}
	for i, s := range all.Steps() {
		key := all.Keys()[i]
		if s.Op != want[key] || s.Guarded != (key == "unless") {
			t.Errorf("%s: %+v", key, s)
		}
		if all.Find(key, 0) != i || all.Find(key+"?", 0) != -1 || all.Find(string([]byte(key)), len(all.Fields)) != i {
			t.Errorf("%s is not found", key)
		}
	}
}
