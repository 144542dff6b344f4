package hostreceiver

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// published is a metric of the published model of semantic conventions.
type published struct {
	unit, instrument string
	attributes       map[string][]string // with the values that an enumeration has
}

// notPublished are metrics that the model lacks; contrib's receiver has them, and names them so.
var notPublished = []string{
	"process.disk.operations", "process.memory.utilization", "process.signals_pending",
	"system.cpu.load_average.15m", "system.cpu.load_average.1m", "system.cpu.load_average.5m",
	"system.disk.pending_operations", "system.disk.weighted_io_time", "system.filesystem.inodes.usage",
	"system.linux.memory.dirty", "system.memory.page_size", "system.network.conntrack.count", "system.network.conntrack.max",
}

// notRead are metrics of the model that are not made, and why.
var notRead = map[string]string{
	"process.network.io":           "Linux does not count it by process",
	"process.windows.handle.count": "Windows only",
}

// ownValues are values of attributes that the model lacks; all but the first come with naming: contrib only.
var ownValues = map[string][]string{
	"cpu.mode":            {"softirq"},
	"system.memory.state": {"slab_reclaimable", "slab_unreclaimable"},
	"process.state":       {"blocked", "idle"},
}

// wholeNumbers are instruments that the model's Go code makes of whole numbers, since its
// definition says nothing of them, though these are shares, times and frequencies.
var fractions = regexp.MustCompile(`^(1|s|Hz|Cel)$`)

// TestSemanticConventions holds each metric's name, unit, instrument and attributes against the
// published model, which is the Go packages that OpenTelemetry makes of it.
func TestSemanticConventions(t *testing.T) {
	model := readModel(t)
	var ours struct {
		SemConv    string `yaml:"sem_conv_version"`
		Attributes map[string]struct {
			Type string   `yaml:"type"`
			Enum []string `yaml:"enum"`
		} `yaml:"attributes"`
		Metrics map[string]struct {
			Unit  string `yaml:"unit"`
			Gauge *struct {
				Type string `yaml:"value_type"`
			} `yaml:"gauge"`
			Sum *struct {
				Type      string `yaml:"value_type"`
				Monotonic bool   `yaml:"monotonic"`
			} `yaml:"sum"`
			Attributes []string `yaml:"attributes"`
		} `yaml:"metrics"`
	}
	data, err := os.ReadFile("metadata.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &ours); err != nil {
		t.Fatal(err)
	}
	if "v"+ours.SemConv != semconvVersion {
		t.Errorf("metadata.yaml states %s, the test reads %s", ours.SemConv, semconvVersion)
	}
	same := 0
	for name, m := range ours.Metrics {
		want, ok := model[name]
		if known := slices.Contains(notPublished, name); ok == known {
			t.Errorf("%s: in the model: %v, in the list of those that are not: %v", name, ok, known)
		}
		if scraperOf[name] == "" {
			t.Errorf("%s is of no scraper", name)
		}
		if !ok {
			continue
		}
		same++
		if m.Unit != want.unit {
			t.Errorf("%s has the unit %q, %q in the model", name, m.Unit, want.unit)
		}
		kind, number := "Gauge", ""
		switch {
		case m.Gauge != nil:
			number = m.Gauge.Type
		case m.Sum.Monotonic:
			kind, number = "Counter", m.Sum.Type
		default:
			kind, number = "UpDownCounter", m.Sum.Type
		}
		if got := strings.TrimPrefix(strings.TrimLeft(want.instrument, "IntFloa642"), "Observable"); got != kind {
			t.Errorf("%s is a %s, %s in the model", name, kind, got)
		}
		if float := strings.HasPrefix(want.instrument, "Float"); float != (number == "double") && !(number == "double" && fractions.MatchString(m.Unit)) {
			t.Errorf("%s is of %s, %s in the model", name, number, want.instrument)
		}
		for _, a := range m.Attributes {
			values, ok := want.attributes[a]
			if !ok {
				t.Errorf("%s has the attribute %s, which the model lacks", name, a)
			}
			for _, v := range ours.Attributes[a].Enum {
				if len(values) > 0 && !slices.Contains(values, v) && !slices.Contains(ownValues[a], v) {
					t.Errorf("%s: %s=%s is not in the model's %v", name, a, v, values)
				}
			}
		}
	}
	if same < 45 {
		t.Errorf("only %d metrics are in the model", same)
	}
	for name := range model {
		_, made := ours.Metrics[name]
		if system := strings.HasPrefix(name, "system.") || strings.HasPrefix(name, "process."); system && made == (notRead[name] != "") {
			t.Errorf("%s of the model: made %v, excused %q", name, made, notRead[name])
		}
	}
	for own := range contribNames {
		if _, ok := ours.Metrics[own]; !ok {
			t.Errorf("contribNames has %s, which is no metric", own)
		}
	}
	for key := range contribKeys {
		if _, ok := ours.Attributes[key]; !ok {
			t.Errorf("contribKeys has %s, which is no attribute", key)
		}
	}
}

const semconvVersion = "v1.41.0"

// readModel reads the generated packages as text, as Go can't tell what attributes an instrument has.
func readModel(t *testing.T) map[string]published {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.opentelemetry.io/otel").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "semconv", semconvVersion)
	model := map[string]published{}
	head := regexp.MustCompile(`\ntype \w+ struct \{\n\tmetric\.(\w+)\n\}`)
	name := regexp.MustCompile(`\) Name\(\) string \{\n\treturn "([^"]+)"`)
	unit := regexp.MustCompile(`\) Unit\(\) string \{\n\treturn "([^"]*)"`)
	attr := regexp.MustCompile(`attribute\.\w+\("([^"]+)", \w*\(?(?:val|\w+)`)
	typed := regexp.MustCompile(`\) Attr\w+\(val (?:\.\.\.)?(\w+)\) attribute\.KeyValue \{\n\treturn attribute\.\w+\("([^"]+)"`)
	required := regexp.MustCompile(`\n\t(\w+) (\w+Attr),\n`)
	requiredKey := regexp.MustCompile(`attribute\.String\("([^"]+)", string\((\w+)\)\)`)
	value := regexp.MustCompile(`\n\t\w+ (\w+Attr) = "([^"]+)"`)
	for _, pkg := range []string{"systemconv", "processconv", "hwconv"} {
		data, err := os.ReadFile(filepath.Join(root, pkg, "metric.go"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		enums := map[string][]string{}
		for _, m := range value.FindAllStringSubmatch(text, -1) {
			enums[m[1]] = append(enums[m[1]], m[2])
		}
		heads := head.FindAllStringSubmatchIndex(text, -1)
		for i, h := range heads {
			end := len(text)
			if i+1 < len(heads) {
				end = heads[i+1][0]
			}
			body := text[h[1]:end]
			n := name.FindStringSubmatch(body)
			if n == nil {
				continue
			}
			instrument := text[h[2]:h[3]]
			if was, ok := model[n[1]]; ok && !strings.Contains(was.instrument, "Observable") {
				continue // the observable twin says the same
			}
			p := published{instrument: instrument, unit: unit.FindStringSubmatch(body)[1], attributes: map[string][]string{}}
			for _, a := range attr.FindAllStringSubmatch(body, -1) {
				p.attributes[a[1]] = nil
			}
			for _, a := range typed.FindAllStringSubmatch(body, -1) {
				p.attributes[a[2]] = enums[a[1]]
			}
			types := map[string]string{}
			for _, a := range required.FindAllStringSubmatch(body, -1) {
				types[a[1]] = a[2]
			}
			for _, a := range requiredKey.FindAllStringSubmatch(body, -1) {
				if e := enums[types[a[2]]]; e != nil {
					p.attributes[a[1]] = e
				}
			}
			model[n[1]] = p
		}
	}
	if len(model) < 60 {
		t.Fatalf("%d metrics read from %s", len(model), root)
	}
	return model
}
