package baseline

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
)

// sweepFrom is how many receivers make a flood of one sender a sweep.
const sweepFrom = 100

// Flood judges what the meter rolled up, and leaves its verdict in f.Anomaly. Each of its
// flows came to nothing, at a rate that no record would be read at: no more is needed, and
// nothing is learned.
func (e *Engine) Flood(f *flow.Flood) {
	if f.Start < 0 || f.End < 0 {
		return
	}
	e.advance(f.End)
	service := f.Transport()
	if f.Port != 0 {
		service += "/" + strconv.Itoa(int(f.Port))
	} else if f.Ports > 1 {
		service += " on " + strconv.Itoa(f.Ports) + " ports"
	}
	r := event.Reason{Kind: SynFlood, Strength: 1, Expected: fmt.Sprintf("at most %d new connections a second that come to nothing", f.Rate)}
	much := fmt.Sprintf("more than %d a second", f.Rate)
	if f.Flows > 0 {
		much = fmt.Sprintf("%d in %s", f.Flows, duration(float64(f.End-f.Since)/1e9))
	}
	switch {
	case f.Destination.IsValid():
		id, who := e.byAddress(f.Destination)
		r.Device, r.Subject = id, f.Destination.String()+" "+service
		r.Seen = fmt.Sprintf("connections of %s to %s that came to nothing: %s, from %s", service, who, much, many(f.Sources, "address"))
	case f.Source.IsValid():
		id, who := e.byAddress(f.Source)
		r.Device, r.Subject = id, id+" "+service
		if f.Destinations >= sweepFrom {
			r.Kind = HostSweep
		}
		r.Seen = fmt.Sprintf("%s tried connections of %s that came to nothing: %s, to %s", who, service, much, many(f.Destinations, "address"))
	default:
		mac := f.DestinationMAC
		if mac.IsZero() {
			mac = f.SourceMAC
		}
		r.Device, r.Subject = "the site", "the site"
		if !mac.IsZero() {
			r.Device, r.Subject = mac.String(), mac.String()+" "+service
		}
		r.Seen = "flows that came to nothing: " + much
	}
	v := verdict{reasons: []event.Reason{r}}
	v.into(&f.Anomaly)
}

// many counts what was estimated.
func many(n uint64, what string) string {
	switch n {
	case 0:
		return "uncounted " + what + "es"
	case 1:
		return "one " + what
	}
	return fmt.Sprintf("about %d %ses", n, what)
}

// byAddress finds the device of an address.
func (e *Engine) byAddress(a netip.Addr) (id, label string) {
	text := a.String()
	for _, m := range e.sorted() {
		if m.Address == text {
			return m.ID, m.label()
		}
	}
	return text, text
}
