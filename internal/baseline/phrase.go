package baseline

import (
	"net/netip"
	"strings"

	"github.com/monban/monban/internal/flow"
)

// phrase is how the lists call one end of a flow and what the flow is for.
type phrase struct {
	svc      string // service of the flow
	net      string // network of the end
	place    string // place of the end
	svcNet   string
	svcPlace string
	svcAddr  string // by address, of an outside end that has a name; else ""
}

type phraseKey struct {
	addr           netip.Addr
	device, domain string
	port           uint16
	proto          uint8
	high           bool
}

// maxPhrases bounds the phrases that are kept, about 3 MB.
const maxPhrases = 8192

// phrase puts an end of a flow into words. Most flows are like one that was before,
// so the words are kept: to make them took most of the time of judging a flow.
func (e *Engine) phrase(r *flow.Record, end *flow.End) *phrase {
	k := phraseKey{end.Addr, end.Device, end.Domain, r.Dst.Port, r.Proto, highPort(r)}
	p := e.phrases[k]
	if p == nil {
		if len(e.phrases) >= maxPhrases {
			clear(e.phrases)
		}
		k.device, k.domain = strings.Clone(k.device), strings.Clone(k.domain)
		svc := service(r)
		p = &phrase{svc: svc, net: network(end), place: strings.Clone(place(end))}
		p.svcNet, p.svcPlace = svc+" "+p.net, svc+" "+p.place
		if end.Device == "" && end.Domain != "" {
			p.svcAddr = svc + " " + end.Addr.String()
		}
		e.phrases[k] = p
	}
	return p
}
