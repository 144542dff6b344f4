package summary

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1234567), "1,234,567"}, {count(math.MaxUint64), "18,446,744,073,709,551,615"},
		{plural(1, "flow"), "1 flow"}, {plural(2000, "flow"), "2,000 flows"}, {plural(0, "entry"), "0 entries"},
		{size(0), "0 B"}, {size(999), "999 B"}, {size(1000), "1.00 kB"}, {size(9999), "10.0 kB"}, {size(99_960), "100 kB"},
		{size(999_400), "999 kB"}, {size(999_600), "1.00 MB"}, {size(math.MaxUint64), "18.4 EB"},
		{rate(1_230_000), "1.23 Mbit/s"},
		{span(0), "0 ms"}, {span(-1), "0 s"}, {span(999 * time.Millisecond), "999 ms"}, {span(1250 * time.Millisecond), "1.2 s"},
		{span(59 * time.Second), "59 s"}, {span(60 * time.Second), "1 min"}, {span(103 * time.Second), "1 min 43 s"},
		{span(2 * time.Hour), "2 h"}, {span(49*time.Hour + 31*time.Minute), "2 d 2 h"}, {span(math.MaxInt64), "106751 d 23 h"},
		{percent(0), "0 %"}, {percent(1e-6), "under 0.1 %"}, {percent(0.004), "0.4 %"}, {percent(0.5), "50 %"}, {percent(0.9999), "99 %"},
		{percent(1), "100 %"}, {percent(7), "100 %"}, {percent(math.NaN()), "?"},
		{words("new_ot_write ×3"), "new OT write ×3"}, {words("bad_ipv4"), "bad IPv4"},
		{runnerUp("host_scan 0.12"), "host scan (12 %)"}, {runnerUp("unknown"), "unknown"}, {runnerUp(""), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 20, ""},
		{"one two three", 8, "one two|three"},
		{"  one\n two  ", 20, "one two"},
		{"abcdefghijklmnopqrst uv", 8, "abcdefgh|ijklmnop|qrst uv"},
		{"漢字漢字漢字", 8, "漢字漢字|漢字"},
	} {
		if got := strings.Join(wrap(c.in, c.n), "|"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	u, a := Options{Unicode: true}, Options{}
	for _, c := range []struct{ got, want string }{
		{u.fit("abc", 3), "abc"}, {u.fit("abcd", 3), "ab…"}, {a.fit("abcd", 3), "ab~"}, {u.fit("abcd", 0), ""},
		{u.fit("漢字漢字", 5), "漢字…"}, {u.fit("ab cd", 4), "ab…"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain", true)
	f.Add("\x1b[31m\u202e\u009b\xff漢\n", false)
	f.Fuzz(func(t *testing.T, s string, utf bool) {
		o := &Options{Unicode: utf}
		for _, r := range o.clean(s) {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || !utf && r > 0x7f {
				t.Fatalf("%q holds %q", o.clean(s), r)
			}
		}
		for _, l := range wrap(o.clean(s), 20) {
			if cells(l) > 20 {
				t.Fatalf("%q is too wide", l)
			}
		}
		if cells(o.fit(o.clean(s), 9)) > 9 {
			t.Fatalf("%q is too wide", o.fit(s, 9))
		}
	})
}
