// Package progress draws one line on a terminal that says how far a long read has
// come, how fast it goes and how long it will still take.
//
// It promises that the line fits the terminal, is erased at the end, is drawn only
// when there is something to wait for, and that at most one is drawn at a time. It
// gives up coordination with others who write to the same terminal: a log line in
// between breaks the bar for a moment, never the log line.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// Sample is how far the work has come.
type Sample struct {
	Done, Total    int64  // of the input, in bytes; Total is 0 where the end is not known
	Packets, Bytes uint64 // worked through; bytes as they were on the wire
}

const (
	patience = 400 * time.Millisecond // shorter work needs no bar
	redraw   = 200 * time.Millisecond
	window   = 16 // redraws over which the rate is taken, about three seconds
)

var drawing atomic.Bool

// Bar is a line being drawn. A nil Bar draws nothing.
type Bar struct {
	quit, gone chan struct{}
}

// Start draws a bar on out until Stop is called. It returns nil, and draws nothing,
// when out is not a terminal, when the terminal can't move its cursor, or when another
// bar is being drawn. sample is called from another goroutine.
func Start(out *os.File, sample func() Sample) *Bar {
	if !term.IsTerminal(int(out.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	width := func() int {
		w, _, err := term.GetSize(int(out.Fd()))
		if err != nil || w <= 0 {
			return 80
		}
		return w
	}
	return start(out, width, sample, patience, redraw)
}

func start(out io.Writer, width func() int, sample func() Sample, patience, redraw time.Duration) *Bar {
	if !drawing.CompareAndSwap(false, true) {
		return nil
	}
	b := &Bar{quit: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(b.gone)
		defer drawing.Store(false)
		b.draw(out, width, sample, patience, redraw)
	}()
	return b
}

// Stop erases the bar and returns when that is done. A second Stop does nothing.
func (b *Bar) Stop() {
	if b == nil {
		return
	}
	select {
	case <-b.quit:
	default:
		close(b.quit)
	}
	<-b.gone
}

func (b *Bar) draw(out io.Writer, width func() int, sample func() Sample, patience, redraw time.Duration) {
	past := []reading{{time.Now(), sample()}}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	drawn := false
	for {
		select {
		case <-b.quit:
			if drawn {
				io.WriteString(out, "\r\x1b[K")
			}
			return
		case now := <-timer.C:
			past = append(past, reading{now, sample()})
			if len(past) > window {
				past = past[1:]
			}
			io.WriteString(out, "\r"+line(past[0], past[len(past)-1], width()-1)+"\x1b[K")
			drawn = true
			timer.Reset(redraw)
		}
	}
}

type reading struct {
	at time.Time
	Sample
}

// line is what is drawn in at most width columns: what matters least is left out
// first, the bar itself before the figures.
func line(from, to reading, width int) string {
	span := to.at.Sub(from.at).Seconds()
	rate := func(n float64) float64 {
		if span <= 0 {
			return 0
		}
		return max(n, 0) / span
	}
	speed := fmt.Sprintf("%s packets/s  %s MB/s", count(rate(float64(to.Packets)-float64(from.Packets))),
		decimal(rate(float64(to.Bytes)-float64(from.Bytes))/1e6))
	if to.Total <= 0 {
		return fit(width, "reading", count(float64(to.Packets))+" packets", speed)
	}
	done := min(max(float64(to.Done)/float64(to.Total), 0), 1)
	percent := fmt.Sprintf("%3.0f %%", 100*done)
	left := ""
	if r := rate(float64(to.Done - from.Done)); r > 0 {
		left = duration(time.Duration(float64(max(to.Total-to.Done, 0))/r*1e9)) + " left"
	}
	figures := fit(width, percent, left, speed)
	const least, most = 10, 40
	if room := min(width-len(figures)-4, most); room >= least {
		full := int(done*float64(room) + 0.5)
		return "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]  " + figures
	}
	return figures
}

// fit joins as many of the parts as there is room for, from the left.
func fit(width int, parts ...string) string {
	s := ""
	for _, p := range parts {
		if p == "" {
			continue
		}
		if s != "" {
			p = "  " + p
		}
		if len(s)+len(p) > width {
			break
		}
		s += p
	}
	return s
}

// count gives n in three or four digits: 950, 12.3k, 4.56M.
func count(n float64) string {
	switch {
	case n >= 1e9:
		return decimal(n/1e9) + "G"
	case n >= 1e6:
		return decimal(n/1e6) + "M"
	case n >= 1e4:
		return decimal(n/1e3) + "k"
	}
	return fmt.Sprintf("%.0f", n)
}

func decimal(n float64) string {
	switch {
	case n >= 100:
		return fmt.Sprintf("%.0f", n)
	case n >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

func duration(d time.Duration) string {
	s := int64(d.Round(time.Second).Seconds())
	switch {
	case s >= 100*3600:
		return "days"
	case s >= 3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
