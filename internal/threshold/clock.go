package threshold

// clock is how far time has come in the data, and for how long entities have been watched: the
// two part when time leaps, as when a recording has a pause or a clock was set.
type clock struct {
	now   int64 // the latest time, Unix nanoseconds
	watch int64 // nanoseconds
	pause int64 // leaps of more do not count as watched
	other int64 // the latest time of points far from now
	far   int   // batches in a row with none but those
	near  bool  // a point near now came in this batch
	woken bool  // the first point after a restart is not held against those that are silent
}

func (c *clock) hear(t int64) {
	leap := t - c.now
	switch {
	case c.now == 0:
		c.now, c.near = t, true
	case leap > c.pause || leap < -c.pause:
		if c.woken {
			c.now, c.near, c.woken = t, true, false
			return
		}
		c.other = t
	case leap > 0:
		if c.woken {
			leap, c.woken = 0, false
		}
		c.now = t
		c.watch += leap
		c.near = true
	default:
		c.near = true
	}
}

// settle takes over another time when only that has been heard in three batches.
func (c *clock) settle() {
	if c.near || c.other == 0 {
		c.near, c.other, c.far = false, 0, 0
		return
	}
	if c.far++; c.far >= 3 {
		c.now, c.other, c.far = c.other, 0, 0
	}
}

// Now is the engine's clock, Unix nanoseconds, 0 before the first point.
func (e *Engine) Now() int64 { return e.clock.now }

// Tick moves the clock on when no point comes.
func (e *Engine) Tick(now int64) {
	if e.clock.now > 0 && now > e.clock.now {
		woken := e.clock.woken // until a point comes: how long we were stopped only that tells
		e.clock.woken = false
		e.clock.hear(now)
		e.clock.woken = woken
	}
	e.Check()
}

// Ahead moves the clock on to t, before the points of that time come, unless that is a leap: it finds who was silent until
// then where no clock but the data's own counts.
func (e *Engine) Ahead(t int64) {
	if t-e.clock.now <= e.clock.pause {
		e.Tick(t)
	}
}
