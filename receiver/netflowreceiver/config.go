package netflowreceiver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/monban/monban/internal/netflow"
	"github.com/monban/monban/internal/unitless"
)

// What unknown_exporters can be.
const (
	acceptUnknown = "accept"
	dropUnknown   = "drop"
)

// Config says where exporters send to, and what is known of them.
type Config struct {
	// Endpoints are the addresses to listen on, each host:port. One takes all four
	// protocols.
	Endpoints []string `mapstructure:"endpoints"`

	// ReadBufferMiB is the kernel's buffer of each endpoint.
	ReadBufferMiB int `mapstructure:"read_buffer_mib"`

	// Exporters says what is known of exporters. The first that fits counts.
	Exporters []ExporterConfig `mapstructure:"exporters"`

	// UnknownExporters is what happens to those not in Exporters: accept or drop.
	UnknownExporters string `mapstructure:"unknown_exporters"`

	// Observer names this Collector in the records' resource; the host's name by default.
	Observer string `mapstructure:"observer"`

	// PairWait is how long the record of one direction waits for that of the other.
	PairWait time.Duration `mapstructure:"pair_wait"`

	// TemplateWait is how long data waits for its template.
	TemplateWait time.Duration `mapstructure:"template_wait"`

	// AggregateInterval is the time over which sFlow's samples of a flow become one record.
	AggregateInterval time.Duration `mapstructure:"aggregate_interval"`

	// MaxClockSkew is how far an exporter's clock may be off before the time of
	// arrival replaces it; 0 never does.
	MaxClockSkew time.Duration `mapstructure:"max_clock_skew"`

	// MaxExporters is how many exporters are known at once.
	MaxExporters int `mapstructure:"max_exporters"`

	// MaxTemplates is how many templates one exporter may have.
	MaxTemplates int `mapstructure:"max_templates"`

	// MaxWaiting bounds the records that wait for their other direction, and the
	// flows that samples are added up for.
	MaxWaiting int `mapstructure:"max_waiting"`

	// CommunityID computes the Community ID of each record.
	CommunityID bool `mapstructure:"community_id"`

	// Storage is the storage extension that keeps templates over a restart.
	Storage *component.ID `mapstructure:"storage"`

	// SaveInterval is how often they are saved, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ExporterConfig is what is known of one exporter, or of a network of them.
type ExporterConfig struct {
	// Address is an IP address, or a network as in 10.0.0.0/8.
	Address string `mapstructure:"address"`

	// Name is the observer.name of its records' resource.
	Name string `mapstructure:"name"`

	// Sampling overrides the sampling interval that the exporter tells; 1 is for
	// none, also where the exporter has multiplied its counts itself.
	Sampling uint32 `mapstructure:"sampling"`

	// Allow is false for one whose datagrams are dropped.
	Allow *bool `mapstructure:"allow"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	d := netflow.NewDefaultConfig()
	return &Config{
		Endpoints:         []string{"127.0.0.1:2055"},
		ReadBufferMiB:     8,
		UnknownExporters:  acceptUnknown,
		PairWait:          d.PairWait,
		TemplateWait:      d.TemplateWait,
		AggregateInterval: d.AggregateInterval,
		MaxClockSkew:      d.MaxClockSkew,
		MaxExporters:      d.MaxExporters,
		MaxTemplates:      d.MaxTemplates,
		MaxWaiting:        d.MaxWaiting,
		CommunityID:       d.CommunityID,
		SaveInterval:      time.Minute,
	}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Endpoints) == 0 {
		wrong("endpoints must have an address to listen on, such as 0.0.0.0:2055")
	}
	for i, e := range c.Endpoints {
		_, port, err := net.SplitHostPort(e)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 && port != "0" {
			wrong("endpoints: %q is not host:port, such as 0.0.0.0:2055 or [::]:2055", e)
		} else if port != "0" && slices.Contains(c.Endpoints[:i], e) {
			wrong("endpoints has %s twice", e)
		}
	}
	if c.ReadBufferMiB < 1 || c.ReadBufferMiB > 1024 {
		wrong("read_buffer_mib must be between 1 and 1024")
	}
	if c.UnknownExporters != acceptUnknown && c.UnknownExporters != dropUnknown {
		wrong("unknown_exporters must be %s or %s, not %q", acceptUnknown, dropUnknown, c.UnknownExporters)
	}
	if c.UnknownExporters == dropUnknown && !slices.ContainsFunc(c.Exporters, ExporterConfig.allowed) {
		wrong("unknown_exporters: drop needs exporters, or else nobody may send")
	}
	seen := map[netip.Prefix]bool{}
	for _, e := range c.Exporters {
		p, err := e.prefix()
		switch {
		case err != nil:
			wrong("exporters: address %q is neither an IP address nor a network such as 10.0.0.0/8", e.Address)
		case seen[p]:
			wrong("exporters has %s twice; the first would count", e.Address)
		}
		seen[p] = true
		if strings.ContainsAny(e.Name, "\t\r\n") {
			wrong("exporters: name %q must not contain tabs or line ends", e.Name)
		}
		if e.Sampling > 1<<24 {
			wrong("exporters: sampling of %s must be at most 16777216", e.Address)
		}
	}
	if c.SaveInterval < time.Second {
		wrong("save_interval must be at least 1s")
	}
	return errors.Join(append(errs, c.netflow().Validate())...)
}

func (e ExporterConfig) allowed() bool { return e.Allow == nil || *e.Allow }

func (e ExporterConfig) prefix() (netip.Prefix, error) {
	if a, err := netip.ParseAddr(e.Address); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(e.Address)
	return p.Masked(), err
}

func (c *Config) netflow() netflow.Config {
	n := netflow.Config{
		RefuseUnknown:     c.UnknownExporters == dropUnknown,
		MaxExporters:      c.MaxExporters,
		MaxTemplates:      c.MaxTemplates,
		MaxWaiting:        c.MaxWaiting,
		PairWait:          c.PairWait,
		TemplateWait:      c.TemplateWait,
		AggregateInterval: c.AggregateInterval,
		MaxClockSkew:      c.MaxClockSkew,
		CommunityID:       c.CommunityID,
	}
	for _, e := range c.Exporters {
		p, _ := e.prefix() // Validate has refused what is none
		n.Exporters = append(n.Exporters, netflow.Known{Prefix: p, Name: e.Name, Sampling: e.Sampling, Refuse: !e.allowed()})
	}
	return n
}
