package packetflowreceiver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// What at_end and progress can be.
const (
	atEndExit    = "exit"
	atEndStay    = "stay"
	progressAuto = "auto"
	progressOff  = "off"
)

// What unknown_peers and privileges can be.
const (
	peersAccept    = "accept"
	peersDrop      = "drop"
	privilegesDrop = "drop"
	privilegesKeep = "keep"
)

// Config says where packets come from and how they are metered: from Files, or else from
// Interfaces, Mirrors, or both.
type Config struct {
	// Files are capture files: pcap or pcapng, gzip or not. Each is a path, a
	// pattern, or - for standard input. Packets of several are merged by time.
	Files []string `mapstructure:"files"`

	// Interfaces are names of network interfaces to listen on.
	Interfaces []string `mapstructure:"interfaces"`

	// Mirrors takes copies of packets that switches and others send to this host.
	Mirrors MirrorsConfig `mapstructure:"mirrors"`

	// Filter keeps only some packets of the interfaces, in tcpdump's words or as
	// the output of tcpdump -ddd.
	Filter string `mapstructure:"filter"`

	// Promiscuous also takes the packets that are addressed to others, as a mirror
	// port needs.
	Promiscuous bool `mapstructure:"promiscuous"`

	// SnapLen is how many bytes are kept of each packet of an interface, 0 for all.
	SnapLen int `mapstructure:"snap_len"`

	// BufferMiB is the size of each interface's ring and each mirror's buffer, 0 for the
	// default of 16.
	BufferMiB int `mapstructure:"buffer_mib"`

	// Privileges is drop to give up what the process may do once it listens, or keep.
	Privileges string `mapstructure:"privileges"`

	// User is whom a process of root becomes then; it stays root when this is empty.
	User string `mapstructure:"user"`

	// AtEnd is what happens after the last file: exit stops the Collector, stay
	// leaves it running.
	AtEnd string `mapstructure:"at_end"`

	// Progress is auto for a bar on standard error where that is a terminal, or off.
	Progress string `mapstructure:"progress"`

	// Observer names this meter in the records' resource; the host's name by default.
	Observer string `mapstructure:"observer"`

	// MaxFlows is how many flows are live at once; past it the least useful end early.
	MaxFlows int `mapstructure:"max_flows"`

	// IdleTimeout is the silence that ends a flow which is not TCP.
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`

	// TCPIdleTimeout is the silence that ends a TCP connection which did not close.
	TCPIdleTimeout time.Duration `mapstructure:"tcp_idle_timeout"`

	// ReportInterval is how often a flow that goes on is reported.
	ReportInterval time.Duration `mapstructure:"report_interval"`

	// FirstReport is how soon it is reported for the first time.
	FirstReport time.Duration `mapstructure:"first_report"`

	// FloodRate is how many new flows a second to or from one address, of which nothing
	// comes, are a flood and rolled up; 0 makes a record of each.
	FloodRate int `mapstructure:"flood_rate"`

	// CommunityID computes the Community ID of each record.
	CommunityID bool `mapstructure:"community_id"`

	// Tunnels meters what is in tunnels instead of the tunnels.
	Tunnels bool `mapstructure:"tunnels"`

	// SeparateVLANs makes different flows of equal addresses in different VLANs.
	SeparateVLANs bool `mapstructure:"separate_vlans"`

	// Inspect reads what packets say: who devices are, names that are asked for, orders to
	// controllers, and protocols on ports that are not theirs; and how: sizes and rhythm of
	// messages, TCP stacks. Without it packets are only counted.
	Inspect bool `mapstructure:"inspect"`

	// Sightings bounds what is written of who devices are.
	Sightings SightingsConfig `mapstructure:"sightings"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// MirrorsConfig says which copies are taken.
type MirrorsConfig struct {
	// Listen are the kinds: vxlan, geneve, tzsp, each with another :port if need be, and
	// gre or erspan, which are one.
	Listen []string `mapstructure:"listen"`

	// Address of this host that copies are sent to; any when empty.
	Address string `mapstructure:"address"`

	// Peers are those who send, with their names.
	Peers []PeerConfig `mapstructure:"peers"`

	// UnknownPeers is accept to take copies of others as well, or drop. Empty is accept
	// where no peers are listed, else drop.
	UnknownPeers string `mapstructure:"unknown_peers"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// PeerConfig is one who sends copies.
type PeerConfig struct {
	// Address is the source address of the copies.
	Address string `mapstructure:"address"`

	// Name stands in the records; the address when empty.
	Name string `mapstructure:"name"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// SightingsConfig bounds the sightings.
type SightingsConfig struct {
	// Repeat is the time between two equal sightings.
	Repeat time.Duration `mapstructure:"repeat"`

	// ConflictRepeat is the same for claims of an address that two devices claim.
	ConflictRepeat time.Duration `mapstructure:"conflict_repeat"`

	// MaxPerSecond is how many are written in a second, in all.
	MaxPerSecond int `mapstructure:"max_per_second"`

	// MaxARPTargets is how many addresses that one device asks for are written in a minute.
	MaxARPTargets int `mapstructure:"max_arp_targets"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	f, a := flow.NewDefaultConfig(), app.NewDefaultConfig()
	return &Config{
		Promiscuous:    true,
		Privileges:     privilegesDrop,
		AtEnd:          atEndStay,
		Progress:       progressOff,
		MaxFlows:       f.MaxFlows,
		IdleTimeout:    f.IdleTimeout,
		TCPIdleTimeout: f.TCPIdleTimeout,
		ReportInterval: f.ReportInterval,
		FirstReport:    f.FirstReport,
		FloodRate:      f.FloodRate,
		CommunityID:    f.CommunityID,
		Tunnels:        true,
		Inspect:        true,
		SeparateVLANs:  f.SeparateVLANs,
		Sightings: SightingsConfig{
			Repeat:         time.Duration(a.Repeat),
			ConflictRepeat: time.Duration(a.Conflict),
			MaxPerSecond:   a.Rate,
			MaxARPTargets:  a.Targets,
		},
	}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.live() && len(c.Files) > 0:
		wrong("files can't be set together with interfaces or mirrors; use a packetflow receiver for each, as in packetflow/2")
	case !c.live() && len(c.Files) == 0:
		wrong("one of files, interfaces and mirrors must be set")
	}
	if slices.Contains(c.Files, "") {
		wrong("files has an empty entry")
	}
	for i, name := range c.Interfaces {
		if name == "" {
			wrong("interfaces has an empty entry")
		} else if slices.Contains(c.Interfaces[:i], name) {
			wrong("interfaces has %s twice", name)
		}
	}
	if c.live() {
		if c.AtEnd == atEndExit {
			wrong("at_end: exit is for files; what is live has no end")
		}
		if c.BufferMiB < 0 || c.BufferMiB > 1024 {
			wrong("buffer_mib must be 0 for the default of 16, or between 1 and 1024")
		}
	}
	if len(c.Interfaces) > 0 {
		if c.SnapLen != 0 && (c.SnapLen < 64 || c.SnapLen > 262144) {
			wrong("snap_len must be 0 for whole packets, or between 64 and 262144")
		}
		if c.Filter != "" {
			if _, err := packet.CompileFilter(c.Filter); err != nil {
				wrong("filter: %w", err)
			}
		}
	}
	for _, o := range []struct {
		key   string
		set   bool
		where string
		given bool
	}{
		{"filter", c.Filter != "", "interfaces", len(c.Interfaces) > 0},
		{"snap_len", c.SnapLen != 0, "interfaces", len(c.Interfaces) > 0},
		{"buffer_mib", c.BufferMiB != 0, "interfaces and mirrors", c.live()},
		{"user", c.User != "", "interfaces and mirrors", c.live()},
	} {
		if o.set && !o.given {
			wrong("%s is for %s; all else is taken whole", o.key, o.where)
		}
	}
	if c.User != "" && c.Privileges == privilegesKeep {
		wrong("user has no meaning with privileges: keep")
	}
	_, mirrors := c.Mirrors.mirrors()
	for _, err := range mirrors {
		wrong("mirrors: %w", err)
	}
	choice := func(key, value string, of ...string) {
		if !slices.Contains(of, value) {
			wrong("%s must be %s, not %q", key, strings.Join(of, " or "), value)
		}
	}
	choice("at_end", c.AtEnd, atEndExit, atEndStay)
	choice("progress", c.Progress, progressAuto, progressOff)
	choice("privileges", c.Privileges, privilegesDrop, privilegesKeep)
	if err := c.flow().Validate(); err != nil {
		errs = append(errs, err)
	}
	s := c.Sightings
	if s.Repeat < time.Second || s.Repeat > 24*time.Hour {
		wrong("sightings::repeat must be between 1s and 24h")
	}
	if s.ConflictRepeat < time.Second || s.ConflictRepeat > 24*time.Hour {
		wrong("sightings::conflict_repeat must be between 1s and 24h")
	}
	if s.MaxPerSecond < 1 || s.MaxPerSecond > 1_000_000 {
		wrong("sightings::max_per_second must be between 1 and 1000000")
	}
	if s.MaxARPTargets < 1 || s.MaxARPTargets > 1_000_000 {
		wrong("sightings::max_arp_targets must be between 1 and 1000000")
	}
	return errors.Join(errs...)
}

func (c *Config) flow() flow.Config {
	return flow.Config{
		MaxFlows:       c.MaxFlows,
		IdleTimeout:    c.IdleTimeout,
		TCPIdleTimeout: c.TCPIdleTimeout,
		ReportInterval: c.ReportInterval,
		FirstReport:    c.FirstReport,
		FloodRate:      c.FloodRate,
		CommunityID:    c.CommunityID,
		CountsOnly:     !c.Inspect,
		SeparateVLANs:  c.SeparateVLANs,
	}
}

func (c *Config) sightings() app.Config {
	return app.Config{
		Repeat:   int64(c.Sightings.Repeat),
		Conflict: int64(c.Sightings.ConflictRepeat),
		Rate:     c.Sightings.MaxPerSecond,
		Targets:  c.Sightings.MaxARPTargets,
	}
}

// live reports whether packets come from the wire.
func (c *Config) live() bool { return len(c.Interfaces) > 0 || c.Mirrors.set() }

func (c *Config) capture() (packet.LiveConfig, error) {
	m, errs := c.Mirrors.mirrors()
	return packet.LiveConfig{
		Interfaces: c.Interfaces, Promiscuous: c.Promiscuous, Filter: c.Filter,
		SnapLen: c.SnapLen, BufferMiB: c.BufferMiB, Mirrors: m,
	}, errors.Join(errs...)
}

func (m *MirrorsConfig) set() bool {
	return len(m.Listen) > 0 || len(m.Peers) > 0 || m.Address != "" || m.UnknownPeers != ""
}

// mirrors gives the words a meaning; nil when none is set.
func (m *MirrorsConfig) mirrors() (*packet.MirrorConfig, []error) {
	if !m.set() {
		return nil, nil
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	address := func(key, text string) netip.Addr {
		a, err := netip.ParseAddr(text)
		if err != nil {
			wrong("%s: %q is no IP address", key, text)
		}
		return a.Unmap()
	}
	c := &packet.MirrorConfig{Listen: m.Listen}
	if m.Address != "" {
		c.Address = address("address", m.Address)
	}
	for i, p := range m.Peers {
		c.Peers = append(c.Peers, packet.Peer{Address: address(fmt.Sprintf("peers::%d", i), p.Address), Name: p.Name})
	}
	switch m.UnknownPeers {
	case peersAccept:
		c.Unknown = true
	case peersDrop:
	case "":
		c.Unknown = len(m.Peers) == 0
	default:
		wrong("unknown_peers must be %s or %s, not %q", peersAccept, peersDrop, m.UnknownPeers)
	}
	if len(errs) == 0 {
		if err := c.Validate(); err != nil {
			wrong("%w", err)
		}
	}
	return c, errs
}

// source names where the packets come from.
func (c *Config) source() string {
	if !c.live() {
		return strings.Join(c.Files, ", ")
	}
	all := slices.Clone(c.Interfaces)
	for _, m := range c.Mirrors.Listen {
		all = append(all, "mirror "+m)
	}
	return strings.Join(all, ", ")
}
