// Package flow meters packets into bidirectional flows. It promises that every
// packet given to the [Table] is counted in exactly one record, that memory is
// bounded by the table's capacity, and that nothing is allocated per packet. It
// gives up payload: what a conversation says is noted by others, through
// [Table.NoteQuestion] and the like, within a budget in bytes.
//
// Time is the packets' own. The table's clock never runs backwards for a single
// stray packet; when a source's clock really jumps back, all flows are ended
// ([Forced]) and the clock starts anew.
package flow

import (
	"errors"
	"time"
)

// Config bounds a [Table] in time and size.
type Config struct {
	MaxFlows       int           // live flows; past it the least useful are ended early
	IdleTimeout    time.Duration // silence that ends a flow which is not TCP
	TCPIdleTimeout time.Duration // silence that ends a TCP connection which did not close
	ReportInterval time.Duration // a flow that goes on is reported this often
	FirstReport    time.Duration // and for the first time this soon
	FloodRate      int           // new flows a second to or from one address, none of them answered, that are rolled up; 0 for never
	CommunityID    bool          // compute the Community ID of each record
	CountsOnly     bool          // note no payload sizes, no rhythm of messages and nothing of TCP stacks
	SeparateVLANs  bool          // equal addresses in different VLANs are different flows
}

// NewDefaultConfig gives Zeek's timeouts, a report a minute and a million flows.
func NewDefaultConfig() Config {
	return Config{
		MaxFlows:       1 << 20,
		IdleTimeout:    time.Minute,
		TCPIdleTimeout: 5 * time.Minute,
		ReportInterval: time.Minute,
		FirstReport:    10 * time.Second,
		FloodRate:      1000,
		CommunityID:    true,
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.MaxFlows < 16 || c.MaxFlows > 1<<30 {
		errs = append(errs, errors.New("max_flows must be between 16 and 1073741824"))
	}
	if c.FloodRate != 0 && (c.FloodRate < 10 || c.FloodRate > 1<<20) {
		errs = append(errs, errors.New("flood_rate must be 0 for never, or between 10 and 1048576"))
	}
	for _, o := range []struct {
		key string
		is  time.Duration
	}{
		{"idle_timeout", c.IdleTimeout}, {"tcp_idle_timeout", c.TCPIdleTimeout},
		{"report_interval", c.ReportInterval}, {"first_report", c.FirstReport},
	} {
		if o.is < time.Second || o.is > 24*time.Hour {
			errs = append(errs, errors.New(o.key+" must be between 1s and 24h"))
		}
	}
	return errors.Join(errs...)
}

// Stats are a table's totals since its start.
type Stats struct {
	Packets uint64 // added
	Flows   uint64 // begun
	Records uint64 // written
	Evicted uint64 // ended early for lack of room
	Flooded uint64 // packets in floods
	Resets  uint64 // times the source's clock jumped back
	Live    int    // now
	Noted   int    // bytes that notes take now
	Tunnels int    // that flows came in, told apart
	Unnamed uint64 // flows whose records leave their tunnel out, because there were too many
	Unnoted uint64 // DNS names and OT commands that no record tells, because notes had no more room

	Fragments  FragmentStats
	ICMPErrors uint64 // ICMP errors that speak of a flow in the table, or of one that is not
	ICMPLost   uint64 // of those the ones that speak of no flow in the table
}

// Timers that are not worth a knob: how long a closed connection is kept for
// stragglers, and how soon a flow that nobody answered is reported. One of more
// than closedQuiet seconds after a close is a new flow.
const (
	closedQuiet     = 5
	unansweredQuiet = 3
)
