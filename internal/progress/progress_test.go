package progress

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLine(t *testing.T) {
	begin := time.Unix(0, 0)
	from := reading{begin, Sample{Total: 4000}}
	for _, c := range []struct {
		name  string
		to    Sample
		after time.Duration
		width int
		want  string
	}{
		{"wide", Sample{Done: 1000, Total: 4000, Packets: 2_500_000, Bytes: 150_000_000}, 2 * time.Second, 79,
			"[========                       ]   25 %  0:06 left  1.25M packets/s  75.0 MB/s"},
		{"narrow: no bar", Sample{Done: 1000, Total: 4000, Packets: 100, Bytes: 150}, 2 * time.Second, 50,
			" 25 %  0:06 left  50 packets/s  0.00 MB/s"},
		{"narrower: no rate", Sample{Done: 1000, Total: 4000, Packets: 100}, 2 * time.Second, 20, " 25 %  0:06 left"},
		{"tiny", Sample{Done: 1000, Total: 4000}, 2 * time.Second, 6, " 25 %"},
		{"none", Sample{Done: 1000, Total: 4000}, 2 * time.Second, 0, ""},
		{"stands still", Sample{Total: 4000}, 2 * time.Second, 40, "  0 %  0 packets/s  0.00 MB/s"},
		{"no end known", Sample{Done: 7, Packets: 12_345, Bytes: 1}, time.Second, 60, "reading  12.3k packets  12.3k packets/s  0.00 MB/s"},
		{"grew while read", Sample{Done: 5000, Total: 4000, Packets: 1}, time.Second, 20, "100 %  0:00 left"},
		{"long", Sample{Done: 1, Total: 40_000}, time.Second, 24, "  0 %  11:06:39 left"},
		{"longer", Sample{Done: 1, Total: 4_000_000}, time.Second, 24, "  0 %  days left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := line(from, reading{begin.Add(c.after), c.to}, c.width)
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if len(got) > c.width {
				t.Errorf("%d columns where %d are", len(got), c.width)
			}
		})
	}
}

func TestLineFitsAnyWidth(t *testing.T) {
	from := reading{time.Unix(0, 0), Sample{}}
	to := reading{time.Unix(3, 0), Sample{Done: 1 << 40, Total: 1 << 41, Packets: 1 << 40, Bytes: 1 << 50}}
	for w := range 200 {
		if got := line(from, to, w); len(got) > w {
			t.Errorf("width %d: %q", w, got)
		}
	}
}

// screen is a terminal that is only written to.
type screen struct {
	mu    sync.Mutex
	drawn bytes.Buffer
	wrote chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	return s.drawn.Write(p)
}

func TestBarIsErased(t *testing.T) {
	s := &screen{wrote: make(chan struct{}, 1)}
	width := func() int { return 60 }
	b := start(s, width, func() Sample { return Sample{Done: 1, Total: 2} }, time.Millisecond, time.Millisecond)
	if second := start(s, width, func() Sample { return Sample{} }, 0, 0); second != nil {
		t.Error("two bars at once")
	}
	<-s.wrote
	b.Stop()
	b.Stop()
	if got := s.drawn.String(); !strings.Contains(got, " 50 %") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("drew %q", got)
	}
}

func TestShortWorkHasNoBar(t *testing.T) {
	s := &screen{wrote: make(chan struct{}, 1)}
	b := start(s, func() int { return 60 }, func() Sample { return Sample{} }, time.Hour, time.Hour)
	b.Stop()
	if s.drawn.Len() != 0 {
		t.Errorf("drew %q", s.drawn.String())
	}
}

func TestNoBarInAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	b := Start(w, func() Sample { t.Error("asked"); return Sample{} })
	if b != nil {
		t.Error("a bar in a pipe")
	}
	b.Stop()
}
