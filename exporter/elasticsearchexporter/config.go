package elasticsearchexporter

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/unitless"
)

// Config is what stands under `elasticsearch:`. All options of an HTTP client (tls, headers, auth,
// compression, proxy_url, …) are on its top level.
type Config struct {
	ClientConfig confighttp.ClientConfig                                  `mapstructure:",squash"`
	QueueConfig  configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	RetryConfig  configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	// Endpoints are the addresses of nodes, used by turns; one that does not answer is left out for
	// a while. A single one may stand under `endpoint` instead.
	Endpoints []string `mapstructure:"endpoints"`

	// User and Password are for basic authentication.
	User     string              `mapstructure:"user"`
	Password configopaque.String `mapstructure:"password"`

	// APIKey is an API key, as id:key or in base64 as Kibana shows it.
	APIKey configopaque.String `mapstructure:"api_key"`

	// BearerToken is the token of a service account, or of OAuth.
	BearerToken configopaque.String `mapstructure:"bearer_token"`

	// Namespace is the last part of the data streams' names.
	Namespace string `mapstructure:"namespace"`

	// Mapping says how documents are laid out.
	Mapping MappingConfig `mapstructure:"mapping"`

	// Template says who takes care of index templates and the lifecycle: install puts them there
	// and keeps them up to date, require sends nothing until somebody else has, off does not look.
	Template string `mapstructure:"template"`

	// Retention is how long the lifecycle that is installed keeps data, 0 for ever.
	Retention time.Duration `mapstructure:"retention"`

	// Bulk bounds one request.
	Bulk BulkConfig `mapstructure:"bulk"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// MappingConfig says how documents are laid out.
type MappingConfig struct {
	// Mode is ecs, the names of the Elastic Common Schema, or otel, those of OpenTelemetry.
	Mode string `mapstructure:"mode"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// BulkConfig bounds one request.
type BulkConfig struct {
	// MaxBytes is the most that one request holds before it is packed, unless a single document is larger.
	MaxBytes int `mapstructure:"max_bytes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// Values of template.
const (
	templateInstall = "install"
	templateRequire = "require"
	templateOff     = "off"
)

func (c *Config) endpoints() []string {
	if len(c.Endpoints) > 0 {
		return c.Endpoints
	}
	if c.ClientConfig.Endpoint != "" {
		return []string{c.ClientConfig.Endpoint}
	}
	return nil
}

// authorization is the header of that name, "" for none.
func (c *Config) authorization() string {
	switch {
	case c.User != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+string(c.Password)))
	case c.APIKey != "":
		key := string(c.APIKey)
		if strings.Contains(key, ":") {
			key = base64.StdEncoding.EncodeToString([]byte(key))
		}
		return "ApiKey " + key
	case c.BearerToken != "":
		return "Bearer " + string(c.BearerToken)
	}
	return ""
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	say := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	switch {
	case len(c.endpoints()) == 0:
		say("endpoints must be set: the addresses of Elasticsearch or OpenSearch, such as [https://elastic.example:9200]")
	case len(c.Endpoints) > 0 && c.ClientConfig.Endpoint != "":
		say("endpoint and endpoints can't be set together")
	default:
		if _, err := elastic.NewClient(nil, c.endpoints(), ""); err != nil {
			say("endpoints: %w", err)
		}
	}
	ways := 0
	for _, set := range []bool{c.User != "" || c.Password != "", c.APIKey != "", c.BearerToken != "", c.ClientConfig.Auth.HasValue()} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		say("only one of user with password, api_key, bearer_token and auth can be set")
	}
	if (c.User == "") != (c.Password == "") {
		say("user and password must be set together")
	}
	if why := elastic.CheckNamespace(c.Namespace); why != "" {
		say("namespace %s", why)
	}
	if m := elastic.Mode(c.Mapping.Mode); m != elastic.ECS && m != elastic.OTel {
		say("mapping::mode must be ecs or otel, not %q", c.Mapping.Mode)
	}
	if !slices.Contains([]string{templateInstall, templateRequire, templateOff}, c.Template) {
		say("template must be install, require or off, not %q", c.Template)
	}
	if c.Retention < 0 || c.Retention > 0 && c.Retention < time.Hour {
		say("retention must be an hour at least, or 0 for ever")
	}
	if c.Bulk.MaxBytes < 1<<10 || c.Bulk.MaxBytes > 64<<20 {
		say("bulk::max_bytes must be between 1024 and %d", 64<<20)
	}
	switch c.ClientConfig.Compression {
	case "", "none", configcompression.TypeGzip, configcompression.TypeZstd:
	default:
		say("compression must be gzip, zstd (OpenSearch only) or none, not %q", c.ClientConfig.Compression)
	}
	if c.ClientConfig.Timeout < 0 {
		say("timeout can't be negative")
	}
	return errors.Join(errs...)
}
