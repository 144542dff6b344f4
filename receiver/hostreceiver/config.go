package hostreceiver

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/monban/monban/internal/posture"
	"github.com/monban/monban/internal/unitless"
	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// What naming can be.
const (
	namingSemconv = "semconv"
	namingContrib = "contrib"
)

// Config says what is read of the host, how often, and by which names it is told.
type Config struct {
	// Controller has collection_interval, initial_delay and timeout.
	Controller scraperhelper.ControllerConfig `mapstructure:",squash"`

	// RootPath is where the host's / is mounted; empty for the host that we run on.
	RootPath string `mapstructure:"root_path"`

	// Observer is the host.name of the Resource; the host's name by default.
	Observer string `mapstructure:"observer"`

	// Naming is semconv, or contrib for dashboards that were made for the host metrics
	// receiver of the Collector's contributors.
	Naming string `mapstructure:"naming"`

	// ResourceAttributes says which attributes the Resource has.
	ResourceAttributes metadata.ResourceAttributesConfig `mapstructure:"resource_attributes"`

	// Posture is what is told as logs.
	Posture PostureConfig `mapstructure:"posture"`

	// Scrapers are what is read for metrics; one that is not named is off.
	Scrapers ScrapersConfig `mapstructure:"scrapers"`

	// unread are settings that were given and do nothing.
	unread []string

	// given are the blocks that were given, and made the receivers of this configuration that there
	// are: it is one for all pipelines.
	given, made signals

	// prevent unkeyed literal initialization
	_ struct{}
}

// signals are metrics, which scrapers is for, and logs, which posture is for.
type signals struct{ metrics, logs bool }

// PostureConfig says what of the host's security is watched.
type PostureConfig struct {
	// Off are kinds of facts that are not watched.
	Off []posture.Kind `mapstructure:"off"`

	// Files are patterns of files whose content must stay as it is.
	Files []string `mapstructure:"files"`

	// ListInterval is how often all facts are told, changed or not.
	ListInterval time.Duration `mapstructure:"list_interval"`

	// SetUIDInterval is how often the disks are walked for programs with their owner's rights.
	SetUIDInterval time.Duration `mapstructure:"setuid_interval"`

	// LoginFailures is how many failed log-ins from one place within LoginWindow are told.
	LoginFailures int           `mapstructure:"login_failures"`
	LoginWindow   time.Duration `mapstructure:"login_window"`

	// AuthLogs are files that log-ins are written to; the first that is there is followed, or
	// else the journal.
	AuthLogs []string `mapstructure:"auth_logs"`

	// DeviceID is the host's id in the inventory of devices; its MAC address by default.
	DeviceID string `mapstructure:"device_id"`

	// Storage is the storage extension that keeps what is known over a restart.
	Storage *component.ID `mapstructure:"storage"`

	// SaveInterval is how often it does, besides at the end.
	SaveInterval time.Duration `mapstructure:"save_interval"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ScrapersConfig has a scraper each.
type ScrapersConfig struct {
	CPU        configoptional.Optional[ScraperConfig]    `mapstructure:"cpu"`
	Load       configoptional.Optional[LoadConfig]       `mapstructure:"load"`
	Memory     configoptional.Optional[ScraperConfig]    `mapstructure:"memory"`
	Paging     configoptional.Optional[ScraperConfig]    `mapstructure:"paging"`
	Disk       configoptional.Optional[DiskConfig]       `mapstructure:"disk"`
	Filesystem configoptional.Optional[FilesystemConfig] `mapstructure:"filesystem"`
	Network    configoptional.Optional[NetworkConfig]    `mapstructure:"network"`
	Processes  configoptional.Optional[ScraperConfig]    `mapstructure:"processes"`
	Process    configoptional.Optional[ProcessConfig]    `mapstructure:"process"`
	System     configoptional.Optional[ScraperConfig]    `mapstructure:"system"`
	Sensors    configoptional.Optional[ScraperConfig]    `mapstructure:"sensors"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ScraperConfig says which metrics of a scraper are on.
type ScraperConfig struct {
	Metrics metadata.MetricsConfig `mapstructure:"metrics"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// LoadConfig is of the load scraper.
type LoadConfig struct {
	ScraperConfig `mapstructure:",squash"`

	// CPUAverage divides the averages by the number of logical processors.
	CPUAverage bool `mapstructure:"cpu_average"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// DiskConfig is of the disk scraper.
type DiskConfig struct {
	ScraperConfig `mapstructure:",squash"`

	Include Match `mapstructure:"include"`
	Exclude Match `mapstructure:"exclude"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// NetworkConfig is of the network scraper.
type NetworkConfig struct {
	ScraperConfig `mapstructure:",squash"`

	Include Match `mapstructure:"include"`
	Exclude Match `mapstructure:"exclude"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// FilesystemConfig is of the filesystem scraper.
type FilesystemConfig struct {
	ScraperConfig `mapstructure:",squash"`

	IncludeDevices     Match `mapstructure:"include_devices"`
	ExcludeDevices     Match `mapstructure:"exclude_devices"`
	IncludeTypes       Match `mapstructure:"include_fs_types"`
	ExcludeTypes       Match `mapstructure:"exclude_fs_types"`
	IncludeMountPoints Match `mapstructure:"include_mount_points"`
	ExcludeMountPoints Match `mapstructure:"exclude_mount_points"`

	// IncludeVirtual takes file systems that no device holds, such as tmpfs.
	IncludeVirtual bool `mapstructure:"include_virtual_filesystems"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ProcessConfig is of the process scraper.
type ProcessConfig struct {
	ScraperConfig `mapstructure:",squash"`

	// ResourceAttributes says which attributes of a process the Resource has.
	ResourceAttributes metadata.ResourceAttributesConfig `mapstructure:"resource_attributes"`

	Include Match `mapstructure:"include"`
	Exclude Match `mapstructure:"exclude"`

	// ScrapeProcessDelay is how old a process must be.
	ScrapeProcessDelay time.Duration `mapstructure:"scrape_process_delay"`

	// What can't be read of processes is counted, and logged once for each part unless muted.
	MuteAll    bool `mapstructure:"mute_process_all_errors"`
	MuteName   bool `mapstructure:"mute_process_name_error"`
	MuteExe    bool `mapstructure:"mute_process_exe_error"`
	MuteIO     bool `mapstructure:"mute_process_io_error"`
	MuteUser   bool `mapstructure:"mute_process_user_error"`
	MuteCgroup bool `mapstructure:"mute_process_cgroup_error"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	any := ScraperConfig{Metrics: metadata.DefaultMetricsConfig()}
	attributes := metadata.DefaultResourceAttributesConfig()
	c := &Config{Controller: controller, Naming: namingSemconv, ResourceAttributes: attributes}
	p := posture.NewDefaultConfig()
	c.Posture = PostureConfig{Files: p.Files, ListInterval: p.ListEvery, SetUIDInterval: p.WalkEvery, LoginFailures: p.LoginFailures,
		LoginWindow: p.LoginWindow, AuthLogs: p.AuthLogs, SaveInterval: time.Minute}
	s := &c.Scrapers
	for _, o := range []*configoptional.Optional[ScraperConfig]{&s.CPU, &s.Memory, &s.Paging, &s.Processes, &s.System, &s.Sensors} {
		*o = configoptional.Default(any)
	}
	s.Load = configoptional.Default(LoadConfig{ScraperConfig: any})
	s.Disk = configoptional.Default(DiskConfig{ScraperConfig: any})
	s.Filesystem = configoptional.Default(FilesystemConfig{ScraperConfig: any})
	s.Network = configoptional.Default(NetworkConfig{ScraperConfig: any})
	s.Process = configoptional.Default(ProcessConfig{ScraperConfig: any, ResourceAttributes: attributes})
	return c
}

// Unmarshal takes metrics and their attributes by their names of either naming, and refuses metrics of
// another scraper, which would do nothing.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	c.given = signals{metrics: conf.IsSet("scrapers"), logs: conf.IsSet("posture")}
	unread, err := withoutUnread(conf)
	if err != nil {
		return err
	}
	c.unread = unread
	raw := conf.ToStringMap()
	scrapers, _ := raw["scrapers"].(map[string]any)
	var errs []error
	for name, value := range scrapers {
		set, _ := value.(map[string]any)
		metrics, _ := set["metrics"].(map[string]any)
		if len(metrics) == 0 {
			continue
		}
		renamed := map[string]any{}
		for metric, v := range metrics {
			own := metric
			if is, ok := fromContrib[metric]; ok {
				own = is
			}
			if scraperOf[own] != name {
				errs = append(errs, fmt.Errorf("scrapers: %s has no metric %s; it has %s", name, metric, strings.Join(metricsOf(name), ", ")))
				continue
			}
			if _, twice := renamed[own]; twice {
				errs = append(errs, fmt.Errorf("scrapers: %s names the metric %s twice, also by its other name", name, own))
			}
			ownAttributes(own, v)
			renamed[own] = v
		}
		// In place, as another conf would lead back into this method without end.
		conf.Delete("scrapers::" + name + "::metrics")
		if err := conf.Merge(confmap.NewFromStringMap(map[string]any{"scrapers": map[string]any{name: map[string]any{"metrics": renamed}}})); err != nil {
			errs = append(errs, fmt.Errorf("scrapers: %s: %w", name, err))
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return errors.Join(errs...)
	}
	return conf.Unmarshal(c)
}

func metricsOf(scraper string) []string {
	var out []string
	for _, metric := range slices.Sorted(maps.Keys(scraperOf)) {
		if scraperOf[metric] == scraper {
			out = append(out, metric)
		}
	}
	if out == nil {
		return []string{"none"}
	}
	return out
}

// validate says what is wrong of the posture.
func (p *PostureConfig) validate(wrong func(string, ...any)) {
	for _, k := range p.Off {
		if !posture.Known(k) {
			wrong("posture: off: there is no kind %q; there are %s", k, strings.Join(posture.Kinds(), ", "))
		}
	}
	for _, f := range p.Files {
		if _, err := path.Match(f, ""); err != nil || !strings.HasPrefix(f, "/") {
			wrong("posture: files: %q must be a path or a pattern that begins with /", f)
		}
	}
	for _, f := range p.AuthLogs {
		if !strings.HasPrefix(f, "/") {
			wrong("posture: auth_logs: %q must begin with /", f)
		}
	}
	for _, d := range []struct {
		key       string
		is, least time.Duration
	}{{"list_interval", p.ListInterval, time.Minute}, {"setuid_interval", p.SetUIDInterval, time.Minute}, {"login_window", p.LoginWindow, time.Second}, {"save_interval", p.SaveInterval, time.Second}} {
		if d.is < d.least {
			wrong("posture: %s must be at least %s", d.key, d.least)
		}
	}
	if p.LoginFailures < 1 {
		wrong("posture: login_failures must be at least 1; to hear of none, put login under off")
	}
}

func (p *PostureConfig) posture() posture.Config {
	return posture.Config{Off: p.Off, Files: p.Files, ListEvery: p.ListInterval, WalkEvery: p.SetUIDInterval, LoginFailures: p.LoginFailures,
		LoginWindow: p.LoginWindow, AuthLogs: p.AuthLogs}
}

// Validate says all that is wrong at once.
func (c *Config) Validate() error {
	errs := []error{unitless.Check(c)}
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Naming != namingSemconv && c.Naming != namingContrib {
		wrong("naming must be %s or %s, not %q", namingSemconv, namingContrib, c.Naming)
	}
	if c.RootPath != "" && !strings.HasPrefix(c.RootPath, "/") {
		wrong("root_path must begin with /, not be %q", c.RootPath)
	}
	if strings.ContainsAny(c.Observer, "\t\r\n") {
		wrong("observer %q must not contain tabs or line ends", c.Observer)
	}
	if p := c.Scrapers.Process.Get(); p != nil && p.ScrapeProcessDelay < 0 {
		wrong("scrapers: process: scrape_process_delay must not be negative")
	}
	c.Posture.validate(wrong)
	check := func(where, list string, m Match) {
		if err := m.check(list); err != nil {
			wrong("scrapers: %s: %w", where, err)
		}
	}
	if d := c.Scrapers.Disk.Get(); d != nil {
		check("disk: include", "devices", d.Include)
		check("disk: exclude", "devices", d.Exclude)
	}
	if n := c.Scrapers.Network.Get(); n != nil {
		check("network: include", "interfaces", n.Include)
		check("network: exclude", "interfaces", n.Exclude)
	}
	if f := c.Scrapers.Filesystem.Get(); f != nil {
		check("filesystem: include_devices", "devices", f.IncludeDevices)
		check("filesystem: exclude_devices", "devices", f.ExcludeDevices)
		check("filesystem: include_fs_types", "fs_types", f.IncludeTypes)
		check("filesystem: exclude_fs_types", "fs_types", f.ExcludeTypes)
		check("filesystem: include_mount_points", "mount_points", f.IncludeMountPoints)
		check("filesystem: exclude_mount_points", "mount_points", f.ExcludeMountPoints)
	}
	if p := c.Scrapers.Process.Get(); p != nil {
		check("process: include", "names", p.Include)
		check("process: exclude", "names", p.Exclude)
	}
	return errors.Join(errs...)
}
