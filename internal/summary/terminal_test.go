package summary

import (
	"bytes"
	"testing"
	"time"
)

func TestTerminal(t *testing.T) {
	t.Setenv("COLUMNS", "")
	var out bytes.Buffer
	if o := Terminal(&out, ColorAuto, 0, time.Now()); o.Color || o.Width != widthElse {
		t.Errorf("without a terminal: %+v", o)
	}
	t.Setenv("COLUMNS", "132")
	if o := Terminal(&out, ColorAlways, 0, time.Now()); !o.Color || o.Width != 132 {
		t.Errorf("as the environment says: %+v", o)
	}
	if o := Terminal(&out, ColorNever, 50, time.Now()); o.Color || o.Width != 50 {
		t.Errorf("as told: %+v", o)
	}
}

func TestLocale(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"LANG": "C.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.utf8"}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "en_GB.UTF-8"}, true},
	} {
		if got := speaksUnicode(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}
