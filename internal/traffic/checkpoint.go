package traffic

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/monban/monban/internal/form"
	"github.com/monban/monban/internal/series"
)

// formVersion is that of a checkpoint's form. Any change of form raises it.
const formVersion = 1

// Checkpoint gives all that is known: the series, the minute that is counted, and which alarms
// were told. The same state gives the same bytes. Most of it are the series, 2.4 kB each, which
// change once a minute. Counters are left out: each one counts for itself.
func (t *Traffic) Checkpoint() ([]byte, error) {
	learned, err := t.series.Checkpoint()
	if err != nil {
		return nil, err
	}
	w := form.Writer(256 + len(learned) + 64*len(t.counts))
	t.walk(w, &learned)
	return w.Bytes(), nil
}

// Resume takes the place of all that is known by what [Traffic.Checkpoint] gave; from there on
// exactly that is found which would have been found there. On any error nothing changes.
func (t *Traffic) Resume(data []byte) error {
	var learned []byte
	next := Traffic{max: t.max, counts: map[who]*count{}}
	w := form.Reader(data)
	next.walk(w, &learned)
	err := w.End()
	if err == nil {
		err = t.series.Resume(learned)
	}
	if err != nil {
		return fmt.Errorf("taking over the traffic of a site: %w", err)
	}
	t.end, t.counts, t.order = next.end, next.counts, nil
	return nil
}

func (t *Traffic) walk(w *form.Walk, learned *[]byte) {
	w.Head("traffic", formVersion, series.ErrVersion)
	w.I64(&t.end)
	w.Check(t.end >= 0)
	n := len(t.counts)
	if form.Count(w, &n); w.Reading() && n > t.max {
		w.Fail(fmt.Errorf("there are %d devices and applications with a direction, max_series is %d", n, t.max))
	}
	form.Map(w, &t.counts, t.max, who.compare, func(x *who) {
		w.Text(&x.device)
		w.Text(&x.application)
		w.Text(&x.direction)
		w.Check(x.sound())
	}, func(c **count) {
		if w.Reading() {
			*c = &count{}
		}
		form.Count(w, &(*c).bytes)
		form.Count(w, &(*c).idle)
		w.Flag(&(*c).told)
	})
	for x, c := range t.counts {
		if w.Reading() {
			c.who, c.key = x, x.key()
		}
	}
	w.Blob(learned)
}

// sound reports whether it is one of a device and a direction, or an application.
func (w who) sound() bool {
	if w.device == "" {
		return w.application != "" && w.direction == ""
	}
	return w.application == "" && slices.Contains([]string{Out, In}, w.direction)
}

func (w who) compare(o who) int {
	return cmp.Or(cmp.Compare(w.device, o.device), cmp.Compare(w.application, o.application), cmp.Compare(w.direction, o.direction))
}
