package httpjsonreceiver

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"

	"github.com/monban/monban/internal/jsonmap"
	"github.com/monban/monban/internal/unitless"
)

// Types of metrics.
const (
	gauge = "gauge"
	sum   = "sum"
)

// Config says whom to ask, how often, and what is wanted of the answers.
type Config struct {
	// Targets are the devices, all of one kind: the same paths are for each.
	Targets []TargetConfig `mapstructure:"targets"`

	// Interval is the time from one poll of a target to the next.
	Interval time.Duration `mapstructure:"interval"`

	// Jitter is how much of the interval each poll may come earlier or later, so that they don't come all at once.
	Jitter float64 `mapstructure:"jitter"`

	// MaxBodyKiB is the longest answer, unpacked.
	MaxBodyKiB int64 `mapstructure:"max_body_kib"`

	// MaxRedirects is how many redirects, all on the target's own host, are followed.
	MaxRedirects int `mapstructure:"max_redirects"`

	// MaxItems is how many items of a list one rule takes from an answer.
	MaxItems int `mapstructure:"max_items"`

	// MaxConcurrent is how many polls run at once.
	MaxConcurrent int `mapstructure:"max_concurrent"`

	// Metrics and Logs are what is wanted of an answer.
	Metrics []MetricConfig `mapstructure:"metrics"`
	Logs    []LogConfig    `mapstructure:"logs"`

	// Observer names this Collector in the resource; the host's name by default.
	Observer string `mapstructure:"observer"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// TargetConfig is one device.
type TargetConfig struct {
	// Name names the target in its resource and in the counters.
	Name string `mapstructure:"name"`

	// ClientConfig has the endpoint, tls, auth, headers and timeout, with the Collector's own options.
	confighttp.ClientConfig `mapstructure:",squash"`

	// Attributes are put on the resource.
	Attributes map[string]string `mapstructure:"attributes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// MetricConfig is one metric.
type MetricConfig struct {
	Name        string             `mapstructure:"name"`
	Description string             `mapstructure:"description"`
	Unit        string             `mapstructure:"unit"`
	Type        string             `mapstructure:"type"`
	Each        string             `mapstructure:"each"`
	Path        string             `mapstructure:"path"`
	Attributes  map[string]string  `mapstructure:"attributes"`
	Scale       *float64           `mapstructure:"scale"`
	Values      map[string]float64 `mapstructure:"values"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// LogConfig is one kind of records.
type LogConfig struct {
	EventName  string            `mapstructure:"event_name"`
	Severity   string            `mapstructure:"severity"`
	Each       string            `mapstructure:"each"`
	Body       string            `mapstructure:"body"`
	Attributes map[string]string `mapstructure:"attributes"`
	Repeat     bool              `mapstructure:"repeat"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const defaultTimeout = 10 * time.Second

func createDefaultConfig() component.Config {
	return &Config{
		Interval: 30 * time.Second, Jitter: 0.1, MaxBodyKiB: 1024, MaxRedirects: 3, MaxItems: 1000, MaxConcurrent: 16,
	}
}

// Unmarshal gives a target the defaults of an HTTP client.
func (t *TargetConfig) Unmarshal(conf *confmap.Conf) error {
	t.ClientConfig = confighttp.NewDefaultClientConfig()
	t.Timeout = defaultTimeout
	t.MaxIdleConnsPerHost = 1
	return conf.Unmarshal(t)
}

// Bounds of a configuration.
const (
	mostTargets = 1000
	mostRules   = 1000
	longestPath = 1000
)

var (
	targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	metricName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]{0,254}$`)
)

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Targets) == 0 || len(c.Targets) > mostTargets {
		wrong("targets must have 1 to %d devices", mostTargets)
	}
	if c.Interval < time.Second {
		wrong("interval must be at least 1s")
	}
	if c.Jitter < 0 || c.Jitter > 0.5 {
		wrong("jitter must be between 0 and 0.5")
	}
	if c.MaxBodyKiB < 1 || c.MaxBodyKiB > 64<<10 {
		wrong("max_body_kib must be between 1 and %d", 64<<10)
	}
	if c.MaxRedirects < 0 || c.MaxRedirects > 10 {
		wrong("max_redirects must be between 0 and 10")
	}
	if c.MaxItems < 1 || c.MaxItems > 100_000 {
		wrong("max_items must be between 1 and 100000")
	}
	if c.MaxConcurrent < 1 || c.MaxConcurrent > mostTargets {
		wrong("max_concurrent must be between 1 and %d", mostTargets)
	}
	if n := len(c.Metrics) + len(c.Logs); n == 0 || n > mostRules {
		wrong("metrics and logs must have 1 to %d rules together, or else nothing comes of the answers", mostRules)
	}
	names := map[string]bool{}
	for i, t := range c.Targets {
		if !targetName.MatchString(t.Name) {
			wrong("targets::%d: name must be 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first", i)
		} else if names[t.Name] {
			wrong("targets::%d: there are two of the name %s", i, t.Name)
		}
		names[t.Name] = true
		if u, err := url.Parse(t.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			wrong("targets::%d: endpoint must be a URL such as http://10.0.0.7/status.json", i)
		} else if u.User != nil {
			wrong("targets::%d: endpoint must not have a user or password, which would be in logs; use auth with basicauth", i)
		}
		if t.Timeout <= 0 || t.Timeout > c.Interval {
			wrong("targets::%d: timeout must be more than 0 and not more than interval", i)
		}
	}
	kinds := map[string]MetricConfig{}
	for i, m := range c.Metrics {
		if !metricName.MatchString(m.Name) {
			wrong("metrics::%d: name must be 1 to 255 letters, digits, and ._-/, a letter first", i)
		}
		if m.Type != gauge && m.Type != sum && m.Type != "" {
			wrong("metrics::%d: type must be gauge or sum, not %q", i, m.Type)
		}
		if other, ok := kinds[m.Name]; ok && (other.Type != m.Type || other.Unit != m.Unit) {
			wrong("metrics::%d: %s has another type or unit above", i, m.Name)
		}
		kinds[m.Name] = m
		if m.Scale != nil && (*m.Scale == 0 || math.IsNaN(*m.Scale) || math.IsInf(*m.Scale, 0)) {
			wrong("metrics::%d: scale must not be 0", i)
		}
		if _, err := m.rule(c.MaxItems); err != nil {
			wrong("metrics::%d: %w", i, err)
		}
	}
	for i, l := range c.Logs {
		if l.EventName == "" {
			wrong("logs::%d: event_name must be set, such as device.alarm", i)
		}
		if _, ok := severities[l.Severity]; !ok {
			wrong("logs::%d: severity must be one of debug, info, warn, error and fatal", i)
		}
		if _, err := l.rule(c.MaxItems); err != nil {
			wrong("logs::%d: %w", i, err)
		}
	}
	return errors.Join(errs...)
}

func parse(name, path string, single bool) (jsonmap.Path, error) {
	if len(path) > longestPath {
		return jsonmap.Path{}, fmt.Errorf("%s is longer than %d bytes", name, longestPath)
	}
	p, err := jsonmap.ParsePath(path, single)
	if err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func rule(each string, attributes map[string]string, most int) (jsonmap.Rule, error) {
	r := jsonmap.Rule{MostItems: most, Attributes: map[string]jsonmap.Path{}}
	var errs []error
	var err error
	if each != "" {
		r.Each, err = parse("each", each, false)
		errs = append(errs, err)
	}
	for k, at := range attributes {
		if r.Attributes[k], err = parse("attributes::"+k, at, true); err != nil {
			errs = append(errs, err)
		}
	}
	return r, errors.Join(errs...)
}

func (m MetricConfig) rule(most int) (jsonmap.Number, error) {
	r, err := rule(m.Each, m.Attributes, most)
	n := jsonmap.Number{Rule: r, Scale: 1, Words: m.Values}
	if m.Scale != nil {
		n.Scale = *m.Scale
	}
	var perr error
	n.Path, perr = parse("path", m.Path, true)
	return n, errors.Join(err, perr)
}

func (l LogConfig) rule(most int) (jsonmap.Records, error) {
	r, err := rule(l.Each, l.Attributes, most)
	records := jsonmap.Records{Rule: r, Repeat: l.Repeat}
	var berr error
	if l.Body != "" {
		records.Body, berr = parse("body", l.Body, true)
	}
	return records, errors.Join(err, berr)
}
