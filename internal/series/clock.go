package series

import "time"

const (
	hour = 3600
	day  = 24 * hour
	week = 7 * day
)

// Clock tells local time, so that a season stays in its cell when clocks are put
// forward or back. The zero value tells UTC. It keeps the offset that was valid last, and until when.
type Clock struct {
	location *time.Location
	from, to int64 // Unix seconds for which offset is valid
	offset   int64
}

// NewClock makes a clock of a zone.
func NewClock(l *time.Location) Clock { return Clock{location: l} }

// local is the second of the local week, which begins on Monday at midnight.
func (c *Clock) local(sec int64) int64 {
	if c.location != nil && (sec < c.from || sec >= c.to) {
		c.look(sec)
	}
	const monday = 3 * day // 1 January 1970 was a Thursday
	at := (sec + c.offset + monday) % week
	if at < 0 {
		at += week
	}
	return at
}

func (c *Clock) look(sec int64) {
	t := time.Unix(sec, 0).In(c.location)
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
