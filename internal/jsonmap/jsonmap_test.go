package jsonmap

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func path(t testing.TB, s string, single bool) Path {
	t.Helper()
	if s == "" {
		return Path{}
	}
	p, err := ParsePath(s, single)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const inverter = `{"ac": {"power": 1520.5, "state": "running", "on": true, "text": " 23.50 ", "none": null, "big": 1e999, "words": "nan"},
 "phases": [{"name": "L1", "v": 2301, "ok": true}, {"name": "L2", "v": 2299}, {"name": "L3", "v": "?"}, {"v": null}],
 "alarms": [{"code": 7, "text": "fan"}, {"code": 9, "text": "heat"}, {"code": 7, "text": "fan"}], "dotted.key": 5, "n": -0}`

func TestPoints(t *testing.T) {
	doc, err := Decode([]byte("\ufeff" + inverter + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		each, path string
		scale      float64
		words      map[string]float64
		want       string
	}{
		{"", "$.ac.power", 1, nil, "1520.5"},
		{"", "$.ac.power", 0.001, nil, "1.5205"},
		{"", "$['dotted.key']", 1, nil, "5"},
		{"", "$.ac.text", 1, nil, "23.5"},
		{"", "$.ac.on", 1, nil, "1"},
		{"", "$.ac.on", 1, map[string]float64{"true": 7}, "7"},
		{"", "$.ac.state", 1, map[string]float64{"running": 2, "off": 0}, "2"},
		{"", "$.ac.state", 1, map[string]float64{"off": 0}, "no_number:1"},
		{"", "$.ac.big", 1, nil, "no_number:1"},
		{"", "$.ac.words", 1, nil, "no_number:1"},
		{"", "$.ac.none", 1, nil, "missing:1"},
		{"", "$.ac", 1, nil, "no_number:1"},
		{"", "$.ac.nothing.at.all", 1, nil, "missing:1"},
		{"", "$.phases[-3].v", 0.1, nil, "229.9"},
		{"$.phases[*]", "$.v", 1, nil, "no_number:1 missing:1 2301[{ok true} {phase L1}] 2299[{phase L2}]"},
		{"$.phases[?@.name == 'L2']", "$.v", 1, nil, "2299[{phase L2}]"},
		{"$.phases[?@.v > 2300]", "$.v", 1, nil, "2301[{ok true} {phase L1}]"},
		{"$.nothing[*]", "$.v", 1, nil, "missing:1"},
		{"$.ac.*", "$", 1, nil, "no_number:3 missing:1 1 1520.5 23.5"},
		{"$.phases[*,*,*]", "$.name", 1, nil, "no_number:6 missing:1 too_many:5"}, // twelve, of which seven are looked at
	} {
		n := Number{Rule: Rule{Each: path(t, c.each, false), MostItems: 7}, Path: path(t, c.path, true), Scale: c.scale, Words: c.words}
		if strings.HasPrefix(c.each, "$.phases") {
			n.Attributes = map[string]Path{"phase": path(t, "$.name", true), "ok": path(t, "$.ok", true)}
		}
		missed := map[Reason]int{}
		var got []string
		points := n.Points(doc, func(r Reason, k int) { missed[r] += k })
		for _, r := range []Reason{NoNumber, Missing, TooMany} {
			if missed[r] > 0 {
				got = append(got, fmt.Sprintf("%s:%d", r, missed[r]))
			}
		}
		var values []string
		for _, p := range points {
			s := fmt.Sprint(math.Round(p.Value*1e6) / 1e6)
			if len(p.Attributes) > 0 {
				s += fmt.Sprint(p.Attributes)
			}
			values = append(values, s)
		}
		if c.each == "$.ac.*" {
			slices.Sort(values) // members of an object have no order
		}
		if g := strings.Join(append(got, values...), " "); g != c.want {
			t.Errorf("%s %s: %s, want %s", c.each, c.path, g, c.want)
		}
	}
}

func TestRecords(t *testing.T) {
	r := Records{Rule: Rule{Each: path(t, "$.alarms[*]", false), MostItems: 10, Attributes: map[string]Path{"code": path(t, "$.code", true)}}, Body: path(t, "$.text", true)}
	none := func(why Reason, n int) { t.Errorf("%s %d", why, n) }
	tell := func(s string, take bool) string {
		t.Helper()
		doc, err := Decode([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		list, taken := r.Records(doc, none)
		if take {
			taken()
		}
		return fmt.Sprint(list)
	}
	for i, step := range []struct {
		doc  string
		take bool
		want string
	}{
		{inverter, false, "[{fan [{code 7}]} {heat [{code 9}]}]"},
		{inverter, true, "[{fan [{code 7}]} {heat [{code 9}]}]"}, // not taken before
		{inverter, true, "[]"},
		{`{"alarms": [{"text": "heat", "code": 9}]}`, true, "[]"}, // the order of keys is nothing new
		{`{"alarms": [{"code": 9, "text": "heat"}, {"code": 7, "text": "fan"}]}`, true, "[{fan [{code 7}]}]"},
		{`{"alarms": []}`, true, "[]"},
		{`{}`, true, "[]"},
		{`{"alarms": [{"code": 9, "text": "heat"}]}`, true, "[{heat [{code 9}]}]"},
	} {
		if got := tell(step.doc, step.take); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	r.Repeat = true
	if got := tell(inverter, true) + tell(inverter, true); strings.Count(got, "fan") != 4 {
		t.Error(got)
	}
	r.Body = Path{}
	if got := tell(`{"alarms": [{"a": [1]}, "x", 5, null]}`, true); got != "[{map[a:[1]] []} {x []} {5 []}]" {
		t.Error(got)
	}
}

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		path   string
		single bool
		want   string
	}{
		{"$.a.b[0]", true, ""}, {"$", true, ""}, {"$['a..b']", true, ""}, {`$["a..b"].c`, true, ""}, {"$.a[*]", false, ""}, {"$.a[?@.x=='..']", false, ""},
		{"", true, "no JSON path"}, {"a.b", true, "no JSON path"}, {"$.", true, "no JSON path"}, {"$.a[", true, "no JSON path"},
		{"$..a", false, "looks everywhere"}, {"$.a..*", false, "looks everywhere"}, {"$[?@..a]", false, "looks everywhere"},
		{"$.a[*]", true, "several values"}, {"$.a[0:2]", true, "several values"}, {"$.a[?@.x]", true, "several values"}, {"$['a','b']", true, "several values"},
	} {
		_, err := ParsePath(c.path, c.single)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}

func TestDecode(t *testing.T) {
	for s, ok := range map[string]bool{"{}": true, " 1 ": true, "": false, "{": false, "{} {}": false, "1 x": false, "<html>": false, "{}\x00": false,
		strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999): true, strings.Repeat("[", 1_000_000): false} {
		if _, err := Decode([]byte(s)); (err == nil) != ok {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte(inverter), "$.phases[*]", "$.v")
	f.Add([]byte(inverter), "$.alarms[?@.code > 7 && @.text != 'x']", "$['text']")
	f.Add([]byte(`[[1,2],{"a":"1e3"}]`), "$[?match(@.a, '1.*')]", "$[0]")
	f.Fuzz(func(t *testing.T, b []byte, each, at string) {
		doc, err := Decode(b)
		if err != nil {
			return
		}
		e, err := ParsePath(each, false)
		if err != nil {
			return
		}
		p, err := ParsePath(at, true)
		if err != nil {
			return
		}
		rule := Rule{Each: e, MostItems: 10, Attributes: map[string]Path{"a": p}}
		n := Number{Rule: rule, Path: p, Scale: 2}
		missed := 0
		points := n.Points(doc, func(_ Reason, k int) { missed += k })
		if len(points) > 10 || len(points)+missed == 0 {
			t.Errorf("%d points, %d missed", len(points), missed)
		}
		for _, x := range points {
			if math.IsNaN(x.Value) || math.IsInf(x.Value, 0) {
				t.Error(x)
			}
		}
		r := Records{Rule: rule, Body: p}
		first, taken := r.Records(doc, func(Reason, int) {})
		for _, x := range first {
			if _, err := json.Marshal(x.Body); err != nil {
				t.Error(err)
			}
		}
		taken()
		if again, _ := r.Records(doc, func(Reason, int) {}); len(again) > 0 {
			t.Errorf("%d are new in what has not changed", len(again))
		}
	})
}

func BenchmarkPoints(b *testing.B) {
	doc, err := Decode([]byte(inverter))
	if err != nil {
		b.Fatal(err)
	}
	n := Number{Rule: Rule{Each: path(b, "$.phases[*]", false), MostItems: 10, Attributes: map[string]Path{"phase": path(b, "$.name", true)}}, Path: path(b, "$.v", true), Scale: 1}
	b.ReportAllocs()
	for b.Loop() {
		n.Points(doc, func(Reason, int) {})
	}
}
