package threshold

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/monban/monban/internal/unitless"
)

// Rule is one rule, as a user writes it. The zero value of an option means that it is not used.
type Rule struct {
	// Name is the rule's own; what is saved and told goes by it.
	Name string `mapstructure:"name"`

	// Metric is the metric that is judged, or Attribute the attribute of log records.
	Metric    string `mapstructure:"metric"`
	Attribute string `mapstructure:"attribute"`
	// Event is the event name of the log records, all when empty.
	Event string `mapstructure:"event"`
	// Where is an OTTL condition on the data point or log record.
	Where string `mapstructure:"where"`
	// Unit is the metric's unit; points of another are not judged.
	Unit string `mapstructure:"unit"`
	// Per names the attributes, of the point or record or of its resource, that tell entities
	// apart. Without it all attributes of a metric's point and resource do, and all log records
	// are one entity.
	Per []string `mapstructure:"per"`
	// MaxEntities bounds the entities that are watched at once.
	MaxEntities int `mapstructure:"max_entities"`

	// Value is what of a histogram or summary is judged: count, sum, mean, min, max, or a
	// quantile such as p99.
	Value string `mapstructure:"value"`
	// Rate judges the change per second, minute or hour in place of the value.
	Rate string `mapstructure:"rate"`
	// Over divides the value by that of another metric or attribute.
	Over Over `mapstructure:"over"`

	// Bounds and Severity are the only step, or Steps lists several in rising order.
	Bounds   Bounds `mapstructure:",squash"`
	Severity string `mapstructure:"severity"`
	Steps    []Step `mapstructure:"steps"`

	// For is how long a value must be past its bound, and ClearFor how long it must be well again.
	For      time.Duration `mapstructure:"for"`
	ClearFor time.Duration `mapstructure:"clear_for"`
	// MissingFor is how long an entity may be silent.
	MissingFor time.Duration `mapstructure:"missing_for"`
	// Share asks for a part of the last points in place of every one.
	Share Share `mapstructure:"share"`
	// Flapping tells of an alarm that comes and goes once, in place of every time.
	Flapping Flapping `mapstructure:"flapping"`
	// Schedule is when the rule may raise an alarm.
	Schedule Schedule `mapstructure:"schedule"`

	// Do is what is done: pass, mark, event.
	Do []string `mapstructure:"do"`
}

// Over is the other series of a ratio.
type Over struct {
	Metric    string        `mapstructure:"metric"`
	Attribute string        `mapstructure:"attribute"`
	MaxAge    time.Duration `mapstructure:"max_age"`
}

// Bounds say which values are past them.
type Bounds struct {
	Above   *float64  `mapstructure:"above"`
	Below   *float64  `mapstructure:"below"`
	Outside []float64 `mapstructure:"outside"`
	// Clear is the bound that the value must be back at for the alarm to end; of outside it is
	// ClearWithin.
	Clear       *float64  `mapstructure:"clear"`
	ClearWithin []float64 `mapstructure:"clear_within"`
}

// Step is one severity with its bounds.
type Step struct {
	Severity string `mapstructure:"severity"`
	Bounds   Bounds `mapstructure:",squash"`
}

// Share is a part of a window.
type Share struct {
	AtLeast float64       `mapstructure:"at_least"`
	Of      time.Duration `mapstructure:"of"`
	Clear   float64       `mapstructure:"clear"`
}

// Flapping is how often within which time is too often.
type Flapping struct {
	Changes int           `mapstructure:"changes"`
	Within  time.Duration `mapstructure:"within"`
}

// What rules do.
const (
	Pass  = "pass"  // only points past the bound go on
	Mark  = "mark"  // they get attributes
	Event = "event" // observations are written
)

// Kinds of alarm.
const (
	Above   = "above"
	Below   = "below"
	Outside = "outside"
	Missing = "missing"
)

// Severities in rising order.
var Severities = []string{"info", "warn", "error", "critical"}

const (
	maxSteps    = 4
	maxRules    = 1000
	maxChanges  = 16
	defaultMany = 10_000
	maxMany     = 1_000_000
	defaultAge  = 10 * time.Minute
	// slots is how finely a window moves.
	slots = 60
)

// step is one compiled step: values below lo or above hi are past it, and an alarm goes on
// while they are below clearLo or above clearHi.
type step struct {
	severity                 uint8 // index in Severities
	lo, hi, clearLo, clearHi float64
}

func (s *step) past(x float64) bool  { return x < s.lo || x > s.hi }
func (s *step) holds(x float64) bool { return x < s.clearLo || x > s.clearHi }

// Check compiles all rules and reports everything that is wrong at once, in the words of the
// YAML keys.
func Check(rules []Rule) error {
	_, err := compile(rules)
	return err
}

func compile(rules []Rule) ([]*rule, error) {
	var errs []error
	var all []*rule
	if len(rules) == 0 {
		errs = append(errs, errors.New("rules: there is none, so nothing would ever be judged"))
	}
	if len(rules) > maxRules {
		errs = append(errs, fmt.Errorf("rules: there are %d, at most %d are allowed", len(rules), maxRules))
	}
	names := map[string]int{}
	for i := range rules {
		in := rules[i]
		at := fmt.Sprintf("rules[%d]", i)
		if in.Name == "" {
			errs = append(errs, fmt.Errorf("%s: name is missing", at))
		} else {
			at = fmt.Sprintf("rule %q", in.Name)
			if first, twice := names[in.Name]; twice {
				errs = append(errs, fmt.Errorf("%s: rules[%d] and rules[%d] have the same name", at, first, i))
			}
			names[in.Name] = i
		}
		r, bad := compileOne(in)
		for _, err := range bad {
			errs = append(errs, fmt.Errorf("%s: %w", at, err))
		}
		r.index = i
		all = append(all, r)
	}
	return all, errors.Join(errs...)
}

// complaint collects what is wrong with a rule.
type complaint []error

func (c *complaint) say(format string, args ...any) { *c = append(*c, fmt.Errorf(format, args...)) }

func (c *complaint) unitless(key string, d time.Duration) {
	if err := unitless.Duration(key, d); err != nil {
		*c = append(*c, err)
	}
}

func compileOne(in Rule) (*rule, []error) {
	r := &rule{Rule: in, rateOf: 0}
	var c complaint
	r.compileSource(&c)
	r.compileSteps(&c)
	r.compileTimes(&c)
	for i, d := range in.Do {
		switch {
		case d != Pass && d != Mark && d != Event:
			c.say("do: %q is not known; it must be pass, mark or event", d)
		case slices.Index(in.Do, d) < i:
			c.say("do: %s stands there twice", d)
		}
	}
	return r, c
}

func (r *rule) compileSource(c *complaint) {
	switch {
	case r.Metric == "" && r.Attribute == "":
		c.say("say what is judged: metric, or attribute for log records")
	case r.Metric != "" && r.Attribute != "":
		c.say("metric and attribute exclude each other: a rule judges data points or log records")
	case r.Metric != "" && r.Event != "":
		c.say("event is of log records, metrics have none")
	case r.Attribute != "" && r.Unit != "":
		c.say("unit is of metrics, attributes of log records have none")
	}
	if r.Attribute != "" && r.Value != "" {
		c.say("value is of histograms, an attribute of a log record is a number")
	}
	if r.Over.Metric != "" && r.Attribute != "" || r.Over.Attribute != "" && r.Metric != "" {
		c.say("over: a metric is divided by a metric, and an attribute by an attribute")
	}
	if r.Over.Metric != "" && r.Over.Metric == r.Metric || r.Over.Attribute != "" && r.Over.Attribute == r.Attribute {
		c.say("over: %s divided by itself is always 1", r.Subject())
	}
	if r.ratio() && r.Value != "" {
		c.say("over and value exclude each other: a ratio is of numbers")
	}
	if r.Over.Metric == "" && r.Over.Attribute == "" && r.Over.MaxAge != 0 {
		c.say("over: say by which metric or attribute the value is divided")
	}
	if r.Over.MaxAge < 0 {
		c.say("over: max_age must not be negative")
	}
	c.unitless("over: max_age", r.Over.MaxAge)
	if r.ratio() && r.Over.MaxAge == 0 {
		r.Over.MaxAge = defaultAge
	}
	for i, p := range r.Per {
		switch {
		case p == "":
			c.say("per: the name of an attribute is empty")
		case slices.Index(r.Per, p) < i:
			c.say("per: %s stands there twice", p)
		}
	}
	switch {
	case r.MaxEntities == 0:
		r.MaxEntities = defaultMany
	case r.MaxEntities < 1 || r.MaxEntities > maxMany:
		c.say("max_entities is %d, it must be from 1 to %d", r.MaxEntities, maxMany)
	}
	switch r.Rate {
	case "":
	case "second":
		r.rateOf = 1e9
	case "minute":
		r.rateOf = 60e9
	case "hour":
		r.rateOf = 3600e9
	default:
		c.say("rate is %q, it must be second, minute or hour", r.Rate)
	}
	var err error
	if r.take, err = parseTake(r.Value); err != nil {
		c.say("%w", err)
	}
	if r.rateOf > 0 && r.Value != "" && r.Value != "count" && r.Value != "sum" {
		c.say("rate: of a histogram only its count and its sum have a rate, not its %s", r.Value)
	}
}

func (r *rule) compileSteps(c *complaint) {
	steps := r.Steps
	switch {
	case len(steps) > 0 && r.Bounds.given():
		c.say("bounds of the rule and steps exclude each other: make the rule's bounds the first step")
	case len(steps) > 0 && r.Severity != "":
		c.say("severity is that of a rule without steps; each step has its own")
	case len(steps) > maxSteps:
		c.say("steps: there are %d, at most %d are possible", len(steps), maxSteps)
		steps = steps[:maxSteps]
	}
	if len(steps) == 0 && r.Bounds.given() {
		steps = []Step{{r.Severity, r.Bounds}}
	}
	r.silence = r.severity(r.Severity, 1, "severity", c)
	if len(steps) == 0 {
		if r.MissingFor == 0 {
			c.say("it can never fire: give it above, below, outside, steps or missing_for")
		}
		for _, x := range []struct {
			key   string
			given bool
		}{{"for", r.For != 0}, {"clear_for", r.ClearFor != 0}, {"share", r.Share != Share{}}, {"flapping", r.Flapping != Flapping{}},
			{"rate", r.Rate != ""}, {"value", r.Value != ""}, {"over", r.ratio()}, {"clear", r.Bounds.Clear != nil || r.Bounds.ClearWithin != nil}} {
			if x.given {
				c.say("%s does nothing without above, below or outside", x.key)
			}
		}
	}
	for i, s := range steps {
		at := ""
		if len(r.Steps) > 0 {
			at = fmt.Sprintf("steps[%d]: ", i)
		}
		kind, compiled, bad := s.Bounds.compile()
		for _, b := range bad {
			c.say("%s%w", at, b)
		}
		compiled.severity = r.severity(s.Severity, 1+i, at+"severity", c)
		if i > 0 && len(bad) == 0 {
			before := r.steps[i-1]
			switch {
			case kind != r.kind:
				c.say("%sit asks for values %s and the step before for values %s; all steps of a rule look the same way", at, kind, r.kind)
			case compiled.severity <= before.severity:
				c.say("%s%s is not more severe than %s of the step before", at, Severities[compiled.severity], Severities[before.severity])
			case compiled.lo > before.lo || compiled.hi < before.hi || compiled.lo == before.lo && compiled.hi == before.hi:
				c.say("%sits bound is not beyond that of the step before", at)
			case compiled.clearLo > before.clearLo || compiled.clearHi < before.clearHi:
				c.say("%sit is cleared later than the step before: move its clear towards its bound", at)
			}
		}
		r.kind = kind
		r.steps = append(r.steps, compiled)
	}
	if r.kind == Below && r.steps[0].lo <= 0 && r.Value == "count" {
		c.say("it can never fire: %s is never below %v", r.what(), r.steps[0].lo)
	}
	if r.Share != (Share{}) {
		r.compileShare(c)
	}
}

func (r *rule) compileShare(c *complaint) {
	s := &r.Share
	if s.Clear == 0 {
		s.Clear = s.AtLeast
	}
	switch {
	case !(s.AtLeast > 0 && s.AtLeast <= 1):
		c.say("share: at_least is %v, it must be above 0 and at most 1, such as 0.8", s.AtLeast)
	case !(s.Clear > 0 && s.Clear <= s.AtLeast):
		c.say("share: clear is %v, it must not be above at_least, which is %v", s.Clear, s.AtLeast)
	case s.Of <= 0 || s.Of >= unitless.Least && s.Of < slots*time.Millisecond || s.Of > 31*24*time.Hour:
		c.say("share: of is %v, it must be from 60ms to 744h", s.Of)
	}
	if len(r.steps) > 1 {
		c.say("share and steps exclude each other: a share is of values past one bound")
	}
	if r.Bounds.Clear != nil || r.Bounds.ClearWithin != nil {
		c.say("clear and share exclude each other: use share.clear")
	}
	c.unitless("share: of", s.Of)
	r.slot = max(1, int64(s.Of)/slots)
}

func (r *rule) compileTimes(c *complaint) {
	for _, d := range []struct {
		key string
		d   time.Duration
	}{{"for", r.For}, {"clear_for", r.ClearFor}, {"missing_for", r.MissingFor}} {
		if d.d < 0 || d.d > 31*24*time.Hour {
			c.say("%s is %v, it must be from 0 to 744h", d.key, d.d)
		}
		c.unitless(d.key, d.d)
	}
	if r.MissingFor >= unitless.Least && r.MissingFor < time.Second {
		c.say("missing_for is %v, it must be at least 1s", r.MissingFor)
	}
	if f := r.Flapping; f != (Flapping{}) {
		if f.Changes < 3 || f.Changes > maxChanges {
			c.say("flapping: changes is %d, it must be from 3 to %d", f.Changes, maxChanges)
		}
		if f.Within <= 0 || f.Within > 31*24*time.Hour {
			c.say("flapping: within is %v, it must be above 0 and at most 744h", f.Within)
		}
		c.unitless("flapping: within", f.Within)
	}
	when, bad := r.Schedule.compile()
	for _, err := range bad {
		c.say("schedule: %w", err)
	}
	r.when = when
	if when != nil && len(bad) == 0 {
		switch longest := when.longest(); {
		case longest == 0:
			c.say("it can never fire: its schedule has no hour in which it may")
		case longest <= r.For && longest < 7*24*time.Hour && len(r.steps) > 0:
			c.say("it can never fire: for is %v, but the longest time that its schedule allows is %v", r.For, longest)
		}
	}
	r.forget = max(int64(time.Hour), 2*int64(r.MissingFor), 2*int64(r.For), 2*int64(r.ClearFor), 2*int64(r.Share.Of), 2*int64(r.Flapping.Within))
}

func (r *rule) severity(name string, usual int, key string, c *complaint) uint8 {
	if name == "" {
		return uint8(min(usual, len(Severities)-1))
	}
	i := slices.Index(Severities, name)
	if i < 0 {
		c.say("%s is %q, it must be %s", key, name, strings.Join(Severities, ", "))
		return 1
	}
	return uint8(i)
}

func (b *Bounds) given() bool { return b.Above != nil || b.Below != nil || b.Outside != nil }

// compile checks the bounds of a step.
func (b *Bounds) compile() (kind string, s step, bad complaint) {
	s = step{lo: math.Inf(-1), hi: math.Inf(1), clearLo: math.Inf(-1), clearHi: math.Inf(1)}
	finite := func(key string, values ...float64) {
		for _, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				bad.say("%s is %v, it must be a number", key, v)
			}
		}
	}
	n := 0
	if b.Above != nil {
		n++
		kind, s.hi, s.clearHi = Above, *b.Above, *b.Above
		finite(Above, s.hi)
		if b.Clear != nil {
			s.clearHi = *b.Clear
			if s.clearHi > s.hi {
				bad.say("clear is %v and above is %v: the value must come back further than it went, so clear must not be larger", s.clearHi, s.hi)
			}
		}
	}
	if b.Below != nil {
		n++
		kind, s.lo, s.clearLo = Below, *b.Below, *b.Below
		finite(Below, s.lo)
		if b.Clear != nil {
			s.clearLo = *b.Clear
			if s.clearLo < s.lo {
				bad.say("clear is %v and below is %v: the value must come back further than it went, so clear must not be smaller", s.clearLo, s.lo)
			}
		}
	}
	if b.Outside != nil {
		n++
		kind = Outside
		if len(b.Outside) != 2 {
			bad.say("outside takes two numbers, [lower, upper], and has %d", len(b.Outside))
			return kind, s, bad
		}
		s.lo, s.hi = b.Outside[0], b.Outside[1]
		s.clearLo, s.clearHi = s.lo, s.hi
		finite(Outside, s.lo, s.hi)
		if s.lo >= s.hi {
			bad.say("outside: %v is not smaller than %v", s.lo, s.hi)
		}
		switch {
		case b.ClearWithin == nil:
		case len(b.ClearWithin) != 2:
			bad.say("clear_within takes two numbers, [lower, upper], and has %d", len(b.ClearWithin))
		default:
			s.clearLo, s.clearHi = b.ClearWithin[0], b.ClearWithin[1]
			finite("clear_within", s.clearLo, s.clearHi)
			if s.clearLo < s.lo || s.clearHi > s.hi || s.clearLo >= s.clearHi {
				bad.say("clear_within is %v and outside is %v: it must lie inside", b.ClearWithin, b.Outside)
			}
		}
		if b.Clear != nil {
			bad.say("clear is one number; outside is cleared by clear_within: [lower, upper]")
		}
	} else if b.ClearWithin != nil {
		bad.say("clear_within belongs to outside")
	}
	if b.Clear != nil {
		finite("clear", *b.Clear)
	}
	switch {
	case n == 0:
		bad.say("it has no bound: give it above, below or outside")
	case n > 1:
		bad.say("above, below and outside exclude each other; for both sides use outside: [lower, upper]")
	}
	return kind, s, bad
}

// Subject is the metric or attribute that is judged.
func (r *Rule) Subject() string {
	if r.Metric != "" {
		return r.Metric
	}
	return r.Attribute
}

// Partner is the metric or attribute that the value is divided by, "" for none.
func (r *Rule) Partner() string {
	if r.Over.Metric != "" {
		return r.Over.Metric
	}
	return r.Over.Attribute
}

func (r *Rule) ratio() bool { return r.Partner() != "" }

// Does reports whether the rule does this.
func (r *Rule) Does(what string) bool { return slices.Contains(r.Do, what) }
