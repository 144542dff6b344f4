//go:build linux

package posture

import (
	"fmt"
	"testing"
	"time"

	"github.com/monban/monban/internal/host"
)

func attempts(n int, window time.Duration, now func() time.Time) *logins {
	cfg := NewDefaultConfig()
	cfg.LoginFailures, cfg.LoginWindow = n, window
	return &logins{cfg: cfg, faults: &host.Faults{}, by: map[string]*source{}, now: now}
}

func try(l *logins, user string) {
	l.line("Nov  1 12:00:00 box sshd[9]: Failed password for " + user + " from 10.0.0.66 port 40000 ssh2")
}

// TestLoginWindow holds that only failures within a window count together: not those of one who mistypes his
// password each few minutes, all day long.
func TestLoginWindow(t *testing.T) {
	now := t0
	l := attempts(5, 10*time.Minute, func() time.Time { return now })
	for range 500 {
		try(l, "ada")
		if got := l.take(now); len(got) > 0 {
			t.Fatalf("told at %s of %d failures, with 4 in any 10 minutes", now, got[0].n)
		}
		now = now.Add(3 * time.Minute)
	}
	now = now.Add(time.Hour)
	for range 4 {
		try(l, "eve")
	}
	now = now.Add(10*time.Minute - time.Second)
	if got := l.take(now); len(got) > 0 {
		t.Errorf("told of %d", got[0].n)
	}
	try(l, "root")
	got := l.take(now)
	if len(got) != 1 || got[0].n != 5 || fmt.Sprint(got[0].names) != "[eve root]" {
		t.Errorf("told %+v", got)
	}
	now = now.Add(2 * time.Second) // the first four are too old by now
	try(l, "root")
	now = now.Add(2 * time.Minute)
	if got := l.take(now); len(got) > 0 {
		t.Errorf("told of %+v", got)
	}
}

// TestLoginShortWindow holds that what reached the bound is told, though the window is over when we look.
func TestLoginShortWindow(t *testing.T) {
	now := t0
	l := attempts(3, 4*time.Second, func() time.Time { return now })
	for range 3 {
		try(l, "root")
	}
	now = now.Add(5 * time.Second)
	if got := l.take(now); len(got) != 1 || got[0].n != 3 || len(got[0].names) != 1 {
		t.Errorf("told %+v", got)
	}
	if got := l.take(now); len(got) > 0 || len(l.by) > 0 {
		t.Errorf("told again %+v, %d sources", got, len(l.by))
	}
}

// TestLoginBounds holds that one who never rests takes no more memory for it, and that his count is right.
func TestLoginBounds(t *testing.T) {
	now := t0
	l := attempts(5, time.Hour, func() time.Time { return now })
	var most uint64
	for i := range 20_000 {
		try(l, fmt.Sprint("user", i))
		now = now.Add(time.Second)
		for _, a := range l.take(now) {
			if len(a.names) > maxGuessed {
				t.Fatalf("%d names", len(a.names))
			}
			most = max(most, a.n)
		}
	}
	if s := l.by["10.0.0.66"]; len(s.moments) > maxMoments+1 || len(s.guesses) > maxGuessed {
		t.Errorf("%d moments and %d names are kept", len(s.moments), len(s.guesses))
	}
	if most < 3580 || most > 3601 { // one a second for an hour, to the moment
		t.Errorf("%d failures in an hour, want 3600", most)
	}
}
