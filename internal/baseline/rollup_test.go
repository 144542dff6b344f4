package baseline

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Whatever kind of flood the meter rolls up is evidence, against who floods where that is
// known, else about who is flooded, else about the site.
func TestFloodOfTheMeter(t *testing.T) {
	const start, end = int64(1000e9), int64(1020e9)
	victim, attacker := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")
	for _, c := range []struct {
		name               string
		flood              flow.Flood
		kind, device, seen string
	}{
		{"begun", flow.Flood{Destination: victim, Proto: packet.ProtoTCP, Rate: 1000},
			SynFlood, "10.0.0.1", "connections of tcp to 10.0.0.1 that came to nothing: more than 1000 a second"},
		{"many senders", flow.Flood{Destination: victim, Proto: packet.ProtoTCP, Rate: 1000, Port: 80, Ports: 1, Flows: 10, Total: 500000, Sources: 3000},
			SynFlood, "10.0.0.1", "connections of tcp/80 to 10.0.0.1 that came to nothing: 500000 in 20 seconds, from about 3000 addresses"},
		{"one sender, many receivers", flow.Flood{Source: attacker, Proto: packet.ProtoTCP, Rate: 1000, Ports: 3, Flows: 10, Total: 40000, Destinations: 9000},
			HostSweep, "10.0.0.9", "10.0.0.9 tried connections of tcp on 3 ports that came to nothing: 40000 in 20 seconds, to about 9000 addresses"},
		{"one sender, one receiver", flow.Flood{Source: attacker, Proto: packet.ProtoUDP, Rate: 1000, Flows: 10, Total: 40000, Destinations: 1},
			SynFlood, "10.0.0.9", "10.0.0.9 tried connections of udp that came to nothing: 40000 in 20 seconds, to one address"},
		{"nobody in particular", flow.Flood{Rate: 1000, Flows: 10, Total: 40000, Sources: 9000},
			SynFlood, "the site", "flows that came to nothing: 40000 in 20 seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.flood
			f.Start, f.Since, f.End = start, start, end
			f.Complete()
			New(NewDefaultConfig()).Flood(&f)
			if f.Anomaly.Score < 0.8 || len(f.Anomaly.Reasons) != 1 {
				t.Fatalf("%+v", f.Anomaly)
			}
			if r := f.Anomaly.Reasons[0]; r.Kind != c.kind || r.Device != c.device || r.Seen != c.seen || !strings.Contains(r.Expected, "1000") {
				t.Errorf("got %+v", r)
			}
		})
	}
	before := flow.Flood{Start: -1, End: -1}
	if New(NewDefaultConfig()).Flood(&before); before.Anomaly.Score != 0 {
		t.Error("a flood before 1970 was judged")
	}
}
