package hostreceiver

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Match picks names. Only the list that fits its place may be given; an empty one decides nothing.
type Match struct {
	// MatchType is strict (default) or regexp.
	MatchType string `mapstructure:"match_type"`

	Devices     []string `mapstructure:"devices"`
	Interfaces  []string `mapstructure:"interfaces"`
	Types       []string `mapstructure:"fs_types"`
	MountPoints []string `mapstructure:"mount_points"`
	Names       []string `mapstructure:"names"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	matchStrict = "strict"
	matchRegexp = "regexp"
)

func (m Match) lists() map[string][]string {
	return map[string][]string{"devices": m.Devices, "interfaces": m.Interfaces, "fs_types": m.Types, "mount_points": m.MountPoints, "names": m.Names}
}

// check says what is wrong with a match in a place where this list is the one to give.
func (m Match) check(list string) error {
	var errs []error
	for name, values := range m.lists() {
		if len(values) == 0 {
			continue
		}
		if name != list {
			errs = append(errs, fmt.Errorf("%s does nothing here; it takes %s", name, list))
		}
	}
	switch m.MatchType {
	case "", matchStrict:
	case matchRegexp:
		for _, e := range m.lists()[list] {
			if _, err := regexp.Compile(e); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q is no regular expression: %w", list, e, err))
			}
		}
	default:
		errs = append(errs, fmt.Errorf("match_type must be %s or %s, not %q", matchStrict, matchRegexp, m.MatchType))
	}
	return errors.Join(errs...)
}

// picker decides about names; nil picks none.
type picker func(name string) bool

// picker gives the decision of a match that check approved of.
func (m Match) picker(list string) picker {
	values := m.lists()[list]
	if len(values) == 0 {
		return nil
	}
	if m.MatchType != matchRegexp {
		return func(name string) bool { return slices.Contains(values, name) }
	}
	all := make([]*regexp.Regexp, len(values))
	for i, v := range values {
		all[i] = regexp.MustCompile(v)
	}
	return func(name string) bool {
		return slices.ContainsFunc(all, func(r *regexp.Regexp) bool { return r.MatchString(name) })
	}
}

// wanted reports whether a name is in what is included, if that says anything, and not excluded.
func wanted(name string, include, exclude picker) bool {
	return (include == nil || include(name)) && (exclude == nil || !exclude(name))
}
