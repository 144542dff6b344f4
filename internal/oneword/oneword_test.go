package oneword

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// capture makes files in a directory of its own and goes there.
func capture(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParse(t *testing.T) {
	capture(t, "plant.pcap", "a b.pcap", "a,b.pcap", "who?.pcap", "x?y=z.pcap", "$HOME.pcap", "100%.pcap", "dir/one.pcap")
	for _, c := range []struct {
		uri     string
		sources []string
		options map[string]string
	}{
		{"pcap:plant.pcap", []string{"plant.pcap"}, nil},
		{"pcap:-", []string{"-"}, nil},
		{"pcap:plant.pcap?", []string{"plant.pcap"}, nil},
		{"pcap:a b.pcap,plant.pcap", []string{"a b.pcap", "plant.pcap"}, nil},
		{"pcap:a,b.pcap", []string{"a,b.pcap"}, nil},
		{"pcap:who?.pcap", []string{"who?.pcap"}, nil},
		{"pcap:plan?.pcap", []string{"plan?.pcap"}, nil},
		{"pcap:x?y=z.pcap", []string{"x?y=z.pcap"}, nil},
		{"pcap:plan?.pcap?out=o", []string{"plan?.pcap"}, map[string]string{"out": "o"}},
		{"pcap:x?y=z.pcap?out=o", []string{"x?y=z.pcap"}, map[string]string{"out": "o"}},
		{"pcap:plant.pcap?out=o?x=1&state=s", []string{"plant.pcap"}, map[string]string{"out": "o?x=1", "state": "s"}},
		{"pcap:plant.pcap?out=R & D/x&state=a=b", []string{"plant.pcap"}, map[string]string{"out": "R & D/x", "state": "a=b"}},
		{"pcap:dir/*.pcap?home=10.1.2.3/8,fd00::1&site=Plant 1&fail_on=high", []string{"dir/*.pcap"},
			map[string]string{"home": "10.1.2.3/8,fd00::1", "site": "Plant 1", "fail_on": "high"}},
		{"live:lo?filter=tcp && port 502 && tcp[13]&2=2&out=-", []string{"lo"}, map[string]string{"filter": "tcp && port 502 && tcp[13]&2=2", "out": "-"}},
		{"live:lo,vxlan,gre,tzsp:37009", []string{"lo", "vxlan", "gre", "tzsp:37009"}, nil},
	} {
		t.Run(c.uri, func(t *testing.T) {
			scheme := Pcap
			if strings.HasPrefix(c.uri, "live") {
				scheme = Live
			}
			w, err := scheme.Parse(c.uri)
			if err != nil {
				t.Fatal(err)
			}
			if c.options == nil {
				c.options = map[string]string{}
			}
			if !reflect.DeepEqual(w.Sources, c.sources) || !reflect.DeepEqual(w.Options, c.options) {
				t.Errorf("got %q and %q, want %q and %q", w.Sources, w.Options, c.sources, c.options)
			}
		})
	}
}

func TestParseSaysAllThatIsWrong(t *testing.T) {
	capture(t, "plant.pcap", "plant2.pcapng", "notes.txt", "dir/one.pcap", "dir/two.pcap", "full/readme")
	for _, c := range []struct {
		uri  string
		want []string // each on a line of its own, in this order
	}{
		{"pcap:", []string{"nothing is named: write pcap:FILE"}},
		{"pcap:?out=x", []string{"nothing is named"}},
		{"pcap:plnat.pcap?ot=x&fail_on=hihg&home=10.0.0.0/33,foo&state=notes.txt", []string{
			"plnat.pcap: no such file; did you mean plant.pcap or plant2.pcapng?",
			`there is no option "ot"; did you mean out?; there are fail_on, home, out, site, state`,
			`option fail_on: "hihg" is not low, medium, high or critical; did you mean high?`,
			`option home: "10.0.0.0/33" is neither a network`,
			`"foo" is neither a network`,
			"option state: notes.txt is a file, not a directory",
		}},
		{"pcap:plant.pcap?outt=x", []string{`there is no option "outt"; did you mean out?`}},
		{"pcap:plant.pcap?out=x&out=y", []string{"option out is given twice"}},
		{"pcap:plant.pcap?out=&state", []string{"option out needs a value: out=DIR", "option state needs a value: state=DIR"}},
		{"pcap:plant.pcap,plant.pcap,,-", []string{"plant.pcap is given twice", "a file name is empty", "standard input (-) can't be read together"}},
		{"pcap:dir", []string{"dir is a directory; to read the captures in it write dir/*.pcap*"}},
		{"pcap:dir/zzzzzzz*.pcap", []string{"dir/zzzzzzz*.pcap: no file matches; in dir/ there is one.pcap, two.pcap"}},
		{"pcap:full/zzzzzzz.pcap", []string{"no such file; there are no captures in full/"}},
		{"pcap:nowhere/x.pcap", []string{"nowhere/x.pcap: no such file; there is no directory nowhere"}},
		{"pcap:notes.txt/x.pcap", []string{"notes.txt/x.pcap: not a directory"}},
		{"pcap:x[.pcap", []string{"x[.pcap: not a valid pattern"}},
		{"live:l0?filtr=udp", []string{"l0: there is no such interface; did you mean lo?", `there is no option "filtr"; did you mean filter?`}},
	} {
		t.Run(c.uri, func(t *testing.T) {
			scheme := Pcap
			if strings.HasPrefix(c.uri, "live") {
				scheme = Live
			}
			_, err := scheme.Parse(c.uri)
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n  ")
			if lines[0] != c.uri || len(lines) != 1+len(c.want) {
				t.Fatalf("%d lines, want %d: %v", len(lines)-1, len(c.want), err)
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i+1], want) {
					t.Errorf("line %d is %q, want %q", i+1, lines[i+1], want)
				}
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	capture(t, "secret.pcap")
	if err := os.Chmod("secret.pcap", 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		t.Skip("root can read everything")
	}
	if _, err := Pcap.Parse("pcap:secret.pcap"); err == nil || !strings.Contains(err.Error(), "secret.pcap: permission denied") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("plant.pcap?out=a&state=b")
	f.Add("a?b=c?home=10.0.0.0/8&&&filter=x=y")
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = Pcap.Parse("pcap:" + s)
		_, _ = Live.Parse("live:" + s)
	})
}

// A mirror's name goes where mirrors do, and where there is none of either, that is left out.
func TestLiveSources(t *testing.T) {
	for word, want := range map[string][2]any{
		"live:lo":            {[]any{"lo"}, nil},
		"live:lo,vxlan:8472": {[]any{"lo"}, map[string]any{"listen": []any{"vxlan:8472"}}},
		"live:gre,erspan":    {nil, map[string]any{"listen": []any{"gre", "erspan"}}},
	} {
		w, err := Live.Parse(word)
		if err != nil {
			t.Fatal(err)
		}
		r := w.Config()["receivers"].(map[string]any)["packetflow"].(map[string]any)
		if got := [2]any{r["interfaces"], r["mirrors"]}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %v", word, got)
		}
	}
	if _, err := Live.Parse("live:vxlan:0"); err == nil || !strings.Contains(err.Error(), "and mirrors: vxlan, ") {
		t.Errorf("%v", err)
	}
}
