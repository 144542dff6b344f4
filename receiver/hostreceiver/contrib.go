package hostreceiver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/monban/monban/receiver/hostreceiver/internal/metadata"
)

// What the host metrics receiver of the Collector's contributors has and we have not, so that a
// configuration made for it runs: it is taken, left out, and named in one warning.
const (
	contribMetadataInterval = "metadata_collection_interval"
	contribHandles          = "process.handles" // on Windows only
	contribNFS              = "nfs"
	contribRegexp           = "regexp" // how its regular expressions cache what they said
)

var contribRegexpKeys = []string{"cacheenabled", "cachemaxnumentries"}

// withoutUnread takes out of a configuration what we do not read of contrib's, in place, and names it.
func withoutUnread(conf *confmap.Conf) (unread []string, err error) {
	drop := func(key string) {
		conf.Delete(key)
		unread = append(unread, key)
	}
	if conf.IsSet(contribMetadataInterval) {
		drop(contribMetadataInterval)
	}
	scrapers, _ := conf.ToStringMap()["scrapers"].(map[string]any)
	if _, ok := scrapers[contribNFS]; ok {
		drop("scrapers::" + contribNFS)
		delete(scrapers, contribNFS)
	}
	for name, value := range scrapers {
		set, _ := value.(map[string]any)
		if metrics, _ := set["metrics"].(map[string]any); metrics != nil && name == "process" {
			if v, ok := metrics[contribHandles]; ok {
				key := "scrapers::process::metrics::" + contribHandles
				if m, _ := v.(map[string]any); m["enabled"] == true {
					unread = append(unread, key)
				}
				conf.Delete(key)
			}
		}
		for key, value := range set {
			match, _ := value.(map[string]any)
			at := "scrapers::" + name + "::" + key + "::"
			if !isMatch(key) {
				continue
			}
			if picksNothing(match) {
				unread = append(unread, at+"match_type")
			}
			re, ok := match[contribRegexp]
			if !ok {
				continue
			}
			cache, _ := re.(map[string]any)
			for k := range cache {
				if !slices.Contains(contribRegexpKeys, k) {
					return nil, fmt.Errorf("%s%s has no %s; it has %s", at, contribRegexp, k, strings.Join(contribRegexpKeys, ", "))
				}
			}
			drop(at + contribRegexp)
		}
	}
	slices.Sort(unread)
	return unread, nil
}

// isMatch reports whether a setting of a scraper picks names.
func isMatch(key string) bool {
	return strings.HasPrefix(key, "include") || strings.HasPrefix(key, "exclude")
}

// picksNothing reports whether a match says how its names are meant, and has none.
func picksNothing(match map[string]any) bool {
	if _, ok := match["match_type"]; !ok {
		return false
	}
	for _, v := range match {
		if list, ok := v.([]any); ok && len(list) > 0 {
			return false
		}
	}
	return true
}

// ownAttributes names the attributes that a metric is to keep as we do, where they are named as contrib does.
func ownAttributes(metric string, settings any) {
	set, _ := settings.(map[string]any)
	names, _ := set["attributes"].([]any)
	for i, name := range names {
		text, ok := name.(string)
		if !ok || hasAttribute(metric, text) {
			continue
		}
		for _, own := range slices.Sorted(maps.Keys(contribKeys)) {
			if contribKeys[own] == text && hasAttribute(metric, own) {
				names[i] = own
				break
			}
		}
	}
}

// hasAttribute reports whether a metric has an attribute, as far as its settings can tell.
func hasAttribute(metric, attribute string) bool {
	all := metadata.DefaultMetricsConfig()
	conf := confmap.NewFromStringMap(map[string]any{metric: map[string]any{"attributes": []any{attribute}}})
	return conf.Unmarshal(&all) == nil && xconfmap.Validate(&all) == nil
}
