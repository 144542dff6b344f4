package netflow

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// What is kept over a restart: the templates, and what the exporters said of
// themselves. It is JSON, so that a person can look at it.
type (
	savedState struct {
		Version   int             `json:"version"`
		Exporters []savedExporter `json:"exporters"`
	}
	savedExporter struct {
		Addr    netip.Addr        `json:"address"`
		IfNames map[uint32]string `json:"interfaces,omitempty"`
		Streams []savedStream     `json:"streams"`
	}
	savedStream struct {
		Protocol  Protocol          `json:"protocol"`
		Domain    uint32            `json:"domain"`
		Sampling  uint32            `json:"sampling,omitempty"`
		Samplers  map[uint64]uint32 `json:"samplers,omitempty"`
		Boot      int64             `json:"boot,omitempty"`
		Uptime    uint32            `json:"uptime,omitempty"`
		Templates []savedTemplate   `json:"templates"`
	}
	savedTemplate struct {
		ID      uint16 `json:"id"`
		Options bool   `json:"options,omitempty"`
		Raw     []byte `json:"raw"`
		Used    int64  `json:"used"`
	}
)

const (
	stateVersion = 1
	keptFor      = int64(7 * 24 * time.Hour) // a template that was not used for so long is not believed any more
)

// Snapshot gives what is kept over a restart.
func (c *Collector) Snapshot() ([]byte, error) {
	out := savedState{Version: stateVersion}
	for _, e := range c.exporters {
		x := savedExporter{Addr: e.source.Addr, IfNames: e.ifNames}
		for _, s := range e.streams {
			if s.key.protocol != V9 && s.key.protocol != IPFIX {
				continue
			}
			y := savedStream{
				Protocol: s.key.protocol, Domain: s.key.domain, Sampling: s.sampling, Samplers: s.samplers, Boot: s.boot, Uptime: s.uptime,
			}
			for id, t := range s.templates {
				y.Templates = append(y.Templates, savedTemplate{id, t.options, t.raw, t.used})
			}
			x.Streams = append(x.Streams, y)
		}
		if len(x.Streams) > 0 {
			out.Exporters = append(out.Exporters, x)
		}
	}
	return json.Marshal(out)
}

// Restore takes a snapshot, before the first datagram. now is Unix nanoseconds.
func (c *Collector) Restore(b []byte, now int64) error {
	var in savedState
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("reading the kept templates: %w", err)
	}
	if in.Version != stateVersion {
		return fmt.Errorf("the kept templates are of version %d, this program knows %d", in.Version, stateVersion)
	}
	c.now = now
	for _, x := range in.Exporters {
		addr := x.Addr.Unmap()
		if _, ok := c.known(addr); !ok || !addr.IsValid() {
			continue // refused by now, or nobody
		}
		e := c.exporter(addr)
		if e == nil {
			break // as many as are allowed
		}
		for n, name := range x.IfNames {
			if name = text([]byte(name)); n != 0 && name != "" && len(e.ifNames) < maxInterfaces {
				e.ifNames[n] = name
			}
		}
		for _, y := range x.Streams {
			if y.Protocol != V9 && y.Protocol != IPFIX || len(e.streams) >= maxStreams {
				continue
			}
			s := c.stream(e, streamKey{protocol: y.Protocol, domain: y.Domain})
			s.sampling, s.boot, s.uptime = y.Sampling, y.Boot, y.Uptime
			for id, n := range y.Samplers {
				s.sampler(id, n)
			}
			for _, z := range y.Templates {
				if z.ID < firstDataID || z.Used < now-keptFor || len(z.Raw) < 2 {
					continue
				}
				n, t := parseTemplate(y.Protocol, z.Raw, z.Options)
				if n != len(z.Raw) || t == nil || t.least == 0 || len(t.fields) > maxFields || e.templates >= c.cfg.MaxTemplates {
					continue
				}
				c.learn(s, z.ID, t)
				t.used = min(z.Used, now) // the clock may have been set back
			}
		}
	}
	return nil
}
