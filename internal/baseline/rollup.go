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
	much, many := fmt.Sprintf("more than %d a second", f.Rate), ""
	if f.Total > 0 {
		much = fmt.Sprintf("%d in %s", f.Total, duration(float64(f.End-f.Start)/1e9))
		many = ", from " + about(f.Sources)
		if f.Source.IsValid() {
			many = ", to " + about(f.Destinations)
		}
	}
	switch {
	case f.Destination.IsValid():
		id, who := e.byAddress(f.Destination)
		r.Device, r.Subject = id, f.Destination.String()+" "+service
		r.Seen = fmt.Sprintf("connections of %s to %s that came to nothing: %s%s", service, who, much, many)
	case f.Source.IsValid():
		id, who := e.byAddress(f.Source)
		r.Device, r.Subject = id, id+" "+service
		if f.Destinations >= sweepFrom {
			r.Kind = HostSweep
		}
		r.Seen = fmt.Sprintf("%s tried connections of %s that came to nothing: %s%s", who, service, much, many)
	case f.Network != "":
		r.Device, r.Subject = f.Network, f.Network+" "+service
		r.Seen = fmt.Sprintf("connections of %s to hosts of %s that came to nothing: %s%s", service, f.Network, much, many)
		if f.Total > 0 {
			r.Seen += ", to " + about(f.Destinations)
		}
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

// about tells how many addresses there were, which was estimated.
func about(n uint64) string {
	if n == 1 {
		return "one address"
	}
	return fmt.Sprintf("about %d addresses", n)
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
