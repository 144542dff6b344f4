package threshold

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule is when a rule may raise an alarm: in the hours of Active, always when there are none,
// but never in those of Quiet. An alarm that is up may end at any time.
type Schedule struct {
	// Zone is a time zone such as Europe/Berlin; UTC when empty.
	Zone   string  `mapstructure:"zone"`
	Active []Hours `mapstructure:"active"`
	Quiet  []Hours `mapstructure:"quiet"`
}

// Hours are those from From to To, on the days on which they begin. To may be on the next day.
type Hours struct {
	// Days are mon, tue, …; all when empty.
	Days []string `mapstructure:"days"`
	From string   `mapstructure:"from"`
	To   string   `mapstructure:"to"`
}

const (
	day  = 24 * 60 // in minutes
	week = 7 * day
)

// calendar is a compiled Schedule: the minutes of the local week in which a rule may raise an
// alarm. It keeps the zone's offset and for how long it is valid, since looking it up for each
// point would take longer than all else.
type calendar struct {
	zone     *time.Location
	on       [week]bool
	from, to int64 // Unix seconds for which offset is valid
	offset   int64
}

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// compile gives nil for a schedule that allows all.
func (s *Schedule) compile() (*calendar, complaint) {
	var c complaint
	if len(s.Active)+len(s.Quiet) == 0 {
		if s.Zone != "" {
			c.say("zone does nothing without active or quiet hours")
		}
		return nil, c
	}
	cal := &calendar{zone: time.UTC}
	if s.Zone != "" {
		zone, err := time.LoadLocation(s.Zone)
		if err != nil {
			c.say("zone %q is not known; it must be a name such as Europe/Berlin", s.Zone)
			return nil, c
		}
		cal.zone = zone
	}
	for i := range cal.on {
		cal.on[i] = len(s.Active) == 0
	}
	for i, h := range s.Active {
		h.paint(fmt.Sprintf("active[%d]", i), &cal.on, true, &c)
	}
	for i, h := range s.Quiet {
		h.paint(fmt.Sprintf("quiet[%d]", i), &cal.on, false, &c)
	}
	return cal, c
}

func (h *Hours) paint(at string, on *[week]bool, to bool, c *complaint) {
	from, until := 0, day
	var err error
	if h.From != "" {
		if from, err = clockTime(h.From); err != nil {
			c.say("%s: from %w", at, err)
		}
	}
	if h.To != "" {
		if until, err = clockTime(h.To); err != nil {
			c.say("%s: to %w", at, err)
		}
	}
	if until <= from { // over midnight
		until += day
	}
	days := h.Days
	if len(days) == 0 {
		days = weekdays
	}
	for _, name := range days {
		d := indexFold(weekdays, name)
		if d < 0 {
			c.say("%s: the day %q is not known; days are %s", at, name, strings.Join(weekdays, ", "))
			continue
		}
		for m := from; m < until; m++ {
			on[(d*day+m)%week] = to
		}
	}
}

func indexFold(all []string, name string) int {
	for i, x := range all {
		if strings.EqualFold(x, name) {
			return i
		}
	}
	return -1
}

// clockTime reads 07:30 as minutes. 24:00 is the end of the day.
func clockTime(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hour, err1 := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	if !ok || err1 != nil || err2 != nil || len(m) != 2 || hour < 0 || minute < 0 || minute > 59 || hour*60+minute > day {
		return 0, fmt.Errorf("is %q, it must be a time of day such as \"07:30\", in quotes", s)
	}
	return hour*60 + minute, nil
}

// allows reports whether an alarm may rise at t, in Unix nanoseconds.
func (c *calendar) allows(t int64) bool {
	if c == nil {
		return true
	}
	sec := floor(t, 1e9)
	if sec < c.from || sec >= c.to {
		c.look(sec)
	}
	const monday = 3 * day * 60 // 1 January 1970 was a Thursday
	at := (sec + c.offset + monday) % (week * 60)
	if at < 0 {
		at += week * 60
	}
	return c.on[at/60]
}

// look finds the offset that is valid at an instant, and until when it is.
func (c *calendar) look(sec int64) {
	t := time.Unix(sec, 0).In(c.zone)
	_, offset := t.Zone()
	from, to := t.ZoneBounds()
	c.offset, c.from, c.to = int64(offset), from.Unix(), to.Unix()
	if from.IsZero() {
		c.from = -1 << 62
	}
	if to.IsZero() {
		c.to = 1 << 62
	}
}

// longest is the longest time without a break in which alarms may rise.
func (c *calendar) longest() time.Duration {
	best, run := 0, 0
	for i := range 2 * week { // twice, as Sunday goes on in Monday
		if !c.on[i%week] {
			run = 0
			continue
		}
		run++
		best = max(best, run)
	}
	return time.Duration(min(best, week)) * time.Minute
}

// floor is the quotient rounded down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
