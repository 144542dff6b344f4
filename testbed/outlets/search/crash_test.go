//go:build linux

package search

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monban/monban/testbed/servers"
)

// killedAgain kills our process at random moments, while the server is away in every second round: by turns
// killed itself, and started again once our process was, and there but busy. It does so once with each
// storage that the queue may have.
func killedAgain(t *testing.T, s *servers.Search, ns string) {
	rounds := 3
	if long() {
		rounds = 25
	}
	for _, storage := range []string{"state_storage", "file_storage"} {
		t.Run(storage, func(t *testing.T) {
			ns := ns + "_" + storage
			x := newProxy(t, s.URL)
			p, f := start(t, options{url: x.URL, namespace: ns, storage: storage}), newFeed()
			var done sync.WaitGroup
			var idle atomic.Bool // while the server starts, which takes long enough to fill any queue
			stop := make(chan struct{})
			for range 2 {
				done.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							if idle.Load() || !f.try(p, 100) {
								time.Sleep(20 * time.Millisecond)
							}
						}
					}
				})
			}
			rng := rand.New(rand.NewPCG(5, uint64(len(storage))))
			killed, busy := 0, 0
			for round := range rounds {
				down := round%4 == 1
				if down {
					must(t, s.Kill())
					killed++
				}
				if x.busy.Store(0); round%4 == 3 { // all bulk requests are told to wait
					x.busy.Store(1 << 40)
					busy++
				}
				time.Sleep(time.Duration(200+rng.IntN(1200)) * time.Millisecond) // a random moment is the fault
				p.kill()
				// without the proxy where the server itself is to be missed
				from, to := x.URL, s.URL
				if next := (round + 1) % 4; next == 0 || next == 3 {
					from, to = to, from
				}
				p.config = strings.Replace(p.config, "endpoints: ["+from+"]", "endpoints: ["+to+"]", 1)
				p.launch()
				if down {
					idle.Store(true)
					must(t, s.Start(t.Context()))
					idle.Store(false)
				}
			}
			close(stop)
			done.Wait()
			x.busy.Store(0)
			t.Logf("our process was killed %d times, the server %d times, and busy %d times", rounds, killed, busy)
			f.arrived(t, s, ns)
			p.stop()
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// twoInstances has two processes send the same records into the same streams.
func twoInstances(t *testing.T, s *servers.Search, ns string) {
	a, b := start(t, options{url: s.URL, namespace: ns, storage: "state_storage"}), start(t, options{url: s.URL, namespace: ns, storage: "state_storage"})
	f := newFeed()
	for range 30 {
		numbers, body := f.batch(100)
		var both sync.WaitGroup
		both.Go(func() { post(a.otlp, body) })
		if !post(b.otlp, body) {
			t.Fatal("not accepted")
		}
		both.Wait()
		for _, n := range numbers {
			f.accepted[n] = true
		}
	}
	f.arrived(t, s, ns)
	a.stop()
	b.stop()
	f.arrived(t, s, ns)
}

// damagedQueue leaves the queue's files as a loss of power may leave what was not synced: the last
// one written cut off, or its end zeroed. Only what was in it may be gone, and the process must start.
func damagedQueue(t *testing.T, s *servers.Search, ns string) {
	for _, how := range []string{"cut", "zeroed", "head zeroed"} {
		for _, storage := range []string{"state_storage", "file_storage"} {
			t.Run(storage+" "+how, func(t *testing.T) {
				ns := ns + "_" + strings.ReplaceAll(storage+how, " ", "_")
				x := newProxy(t, s.URL)
				x.busy.Store(1 << 40)
				p, f := start(t, options{url: x.URL, namespace: ns, storage: storage}), newFeed()
				f.send(p, 1000)
				p.kill()
				file := newest(t, stateOf(p))
				damage(t, file, how)
				x.busy.Store(0)
				comes := launches(p)
				t.Logf("%s, %s %s: comes back: %t", storage, filepath.Base(file), how, comes)
				if storage == "file_storage" {
					return // what it does is told, not asked for
				}
				if !comes {
					t.Fatal("the process does not start")
				}
				g := newFeed()
				g.next = 5000
				g.send(p, 300)
				wait(t, s, ns, 1200)
				g.arrived(t, s, ns)
				n, err := s.Count(t.Context(), "logs-monban.*-"+ns)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s %s: %d of 1000 records that were in the queue arrived", storage, how, n-300)
				if n < 1200 { // one file holds 100 records
					t.Errorf("one damaged file took %d records along", 1300-n)
				}
			})
		}
	}
}

// wait waits for n documents.
func wait(t *testing.T, s *servers.Search, ns string, n int) {
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if got, err := s.Count(t.Context(), "logs-monban.*-"+ns); err == nil && got >= n {
			return
		}
	}
}

// launches starts the process again and tells whether it came.
func launches(p *process) bool {
	probe := &process{t: &quiet{TB: p.t}, config: p.config, otlp: p.otlp, log: p.log}
	ok := make(chan bool, 1)
	go func() {
		came := false
		defer func() { ok <- came }()
		probe.launch()
		came = true
	}()
	came := <-ok
	p.cmd, p.ended = probe.cmd, probe.ended
	return came
}

// quiet is a test of which a failure ends the goroutine and nothing else.
type quiet struct{ testing.TB }

func (q *quiet) Fatal(...any)          { q.stop() }
func (q *quiet) Fatalf(string, ...any) { q.stop() }
func (q *quiet) Helper()               {}
func (q *quiet) stop()                 { runtime.Goexit() }

// newest is the file below dir that was written last: of the queue's own, its metadata apart, where
// each record has its file.
func newest(t *testing.T, dir string) (name string) {
	t.Helper()
	var at time.Time
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > 1000 && info.ModTime().After(at) {
			name, at = path, info.ModTime()
		}
		return err
	})
	if err != nil || name == "" {
		t.Fatalf("no file of the queue below %s: %v", dir, err)
	}
	return name
}

func damage(t *testing.T, name, how string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	half := info.Size() / 2
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	switch how {
	case "cut":
		err = f.Truncate(half)
	case "zeroed":
		_, err = f.WriteAt(make([]byte, info.Size()-half), half)
	case "head zeroed":
		_, err = f.WriteAt(make([]byte, half), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}
