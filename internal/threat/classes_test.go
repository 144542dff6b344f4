package threat

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/posture"
)

func TestEveryKindOfEvidenceHasWeights(t *testing.T) {
	known := map[string]bool{}
	for _, d := range baseline.Definitions() {
		known[d.Kind] = true
	}
	for _, d := range posture.Definitions() {
		known[d.Kind] = true
	}
	for kind := range known {
		if len(weights[kind]) == 0 {
			t.Errorf("%s has no weight: it can never be reported", kind)
		}
	}
	for kind, all := range weights {
		if !known[kind] {
			t.Errorf("%s has weights, and is defined nowhere", kind)
		}
		seen := map[string]bool{}
		for i, w := range all {
			if _, ok := classIndex[w.class]; !ok {
				t.Errorf("%s speaks for %q, which is no class", kind, w.class)
			}
			if seen[w.class] {
				t.Errorf("%s speaks for %s twice", kind, w.class)
			}
			seen[w.class] = true
			if i == 0 && w.nats <= 0 || w.nats > all[0].nats {
				t.Errorf("%s: the strongest class must come first", kind)
			}
		}
		if familyOf(kind) == "" {
			t.Errorf("%s belongs to no family", kind)
		}
	}
}

func TestEveryClassCanBeReached(t *testing.T) {
	for _, c := range Classes {
		reached := false
		for _, all := range weights {
			reached = reached || slices.ContainsFunc(all, func(w weight) bool { return w.class == c.Name && w.nats > 0 })
		}
		if !reached {
			t.Errorf("nothing speaks for %s", c.Name)
		}
		if families[c.Name] == "" {
			t.Errorf("%s belongs to no family", c.Name)
		}
	}
	for name := range families {
		if _, ok := classIndex[name]; !ok {
			t.Errorf("family of %q, which is no class", name)
		}
	}
}

func TestEveryClassHasItsTexts(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	enterprise := regexp.MustCompile(`^T1\d{3}(\.\d{3})? [A-Z]\S`)
	ics := regexp.MustCompile(`^T0\d{3}(\.\d{3})? [A-Z]\S`)
	seen := map[string]bool{}
	for _, c := range Classes {
		if !name.MatchString(c.Name) || seen[c.Name] {
			t.Errorf("name %q", c.Name)
		}
		seen[c.Name] = true
		if c.Title == "" || c.Doc == "" || c.Action == "" || !strings.HasSuffix(c.Action, ".") || strings.HasSuffix(c.Doc, ".") {
			t.Errorf("%s: title %q, doc %q, action %q", c.Name, c.Title, c.Doc, c.Action)
		}
		if !slices.Contains([]string{Low, Medium, High, Critical}, c.Severity) {
			t.Errorf("%s: severity %q", c.Name, c.Severity)
		}
		if c.Name != Unknown && (len(c.Enterprise) == 0 || len(c.ICS) == 0) {
			t.Errorf("%s has no technique", c.Name)
		}
		for _, x := range c.Enterprise {
			if !enterprise.MatchString(x) {
				t.Errorf("%s: %q is no Enterprise technique", c.Name, x)
			}
		}
		for _, x := range c.ICS {
			if !ics.MatchString(x) {
				t.Errorf("%s: %q is no ICS technique", c.Name, x)
			}
		}
	}
}
