package dashboard

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Packages of npm that Grafana's JSON is checked with: its published types, and what checks them.
// Later versions of the types no longer have those of Elasticsearch's queries, nor of Prometheus's.
const (
	typescript      = "typescript/-/typescript-5.9.3.tgz"
	schemaNow       = "@grafana/schema/-/schema-13.2.3.tgz"
	schemaElastic   = "@grafana/schema/-/schema-11.6.0.tgz"
	schemaPromQuery = "@grafana/schema/-/schema-10.4.19.tgz"
)

// npm is where a package lies unpacked, in .cache.
func npm(t *testing.T, tarball string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".cache", "npm", strings.TrimSuffix(filepath.Base(tarball), ".tgz")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "package", "package.json")); err == nil {
		return filepath.Join(dir, "package")
	}
	need := func(err error) {
		if err == nil {
			return
		}
		if os.Getenv("MONBAN_REQUIRE_DATA") == "1" {
			t.Fatalf("fetching %s from npm: %v", tarball, err)
		}
		t.Skipf("no %s from npm here: %v", tarball, err)
	}
	need(os.MkdirAll(filepath.Dir(dir), 0o755))
	res, err := http.Get("https://registry.npmjs.org/" + tarball)
	need(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		need(fmt.Errorf("%s", res.Status))
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "part")
	need(err)
	defer os.RemoveAll(part)
	tar := exec.Command("tar", "-xzf", "-", "-C", part)
	tar.Stdin = io.LimitReader(res.Body, 100<<20)
	need(tar.Run())
	if err := os.Rename(part, dir); err != nil && !os.IsExist(err) {
		need(err)
	}
	return filepath.Join(dir, "package")
}

// checked checks dashboards against those of one version of Grafana: everything that is written must
// be known there and of its type. Enumerations are taken by their values, as JSON has them.
const checked = `
import * as d from '%[1]s';
import * as stat from '%[2]s/stat/panelcfg/x/%[4]s';
import * as timeseries from '%[2]s/timeseries/panelcfg/x/%[5]s';
import * as barchart from '%[2]s/barchart/panelcfg/x/%[6]s';
import * as table from '%[2]s/table/panelcfg/x/%[7]s';
%[3]s
type Plain<T> = T extends string ? ` + "`${T}`" + ` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Fields<C> = { defaults: Omit<d.FieldConfig, 'custom'> & { custom?: Partial<C> }, overrides: d.FieldConfigSource['overrides'] };
type Panel<T, O, C> = Omit<d.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & { type: T, options: O, fieldConfig: Fields<C>, targets: Query[] };
type Panels = Panel<'stat', stat.Options, {}> | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Panel<'barchart', barchart.Options, barchart.FieldConfig> | Panel<'table', table.Options, table.FieldConfig>;
type Dashboard = Plain<Omit<d.Dashboard, 'panels'> & { panels: Panels[] }>;
`

// compile compiles a program without writing anything, and gives what the compiler says.
func compile(t *testing.T, schema, program string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("MONBAN_REQUIRE_DATA") == "1" {
			t.Fatal(err)
		}
		t.Skip("no node here")
	}
	tsc := filepath.Join(npm(t, typescript), "lib", "tsc.js")
	dir := t.TempDir()
	config := fmt.Sprintf(`{"compilerOptions": {"strict": true, "noEmit": true, "skipLibCheck": true, "module": "esnext", "moduleResolution": "bundler", "target": "es2022",
		"types": [], "baseUrl": ".", "ignoreDeprecations": "5.0", "paths": {"@grafana/schema": [%q]}}, "files": ["check.ts"]}`, schema)
	for name, text := range map[string]string{"tsconfig.json": config, "check.ts": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(node, tsc, "-p", dir)
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestGrafanaTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("asks npm")
	}
	for _, version := range []string{"11.6.0", "13.2.3"} {
		t.Run(version, func(t *testing.T) {
			var types, index string
			if version == "11.6.0" {
				schema := filepath.Join(npm(t, schemaElastic), "dist", "esm")
				index = filepath.Join(schema, "index.d.mts")
				raw := filepath.Join(schema, "raw")
				prom := filepath.Join(npm(t, schemaPromQuery), "dist", "esm", "raw", "composable", "prometheus", "dataquery", "x", "PrometheusDataQuery_types.gen")
				queries := "import * as elastic from '" + filepath.Join(raw, "composable", "elasticsearch", "dataquery", "x", "ElasticsearchDataQuery_types.gen") + "';\n" +
					"import * as prometheus from '" + prom + "';\n" +
					"type Query = elastic.ElasticsearchDataQuery | prometheus.PrometheusDataQuery;"
				types = fmt.Sprintf(checked, filepath.Join(raw, "dashboard", "x", "dashboard_types.gen"), filepath.Join(raw, "composable"), queries,
					"StatPanelCfg_types.gen", "TimeSeriesPanelCfg_types.gen", "BarChartPanelCfg_types.gen", "TablePanelCfg_types.gen")
			} else {
				schema := filepath.Join(npm(t, schemaNow), "dist", "types")
				index = filepath.Join(schema, "index.d.ts")
				raw := filepath.Join(schema, "raw")
				types = fmt.Sprintf(checked, filepath.Join(raw, "dashboard", "x", "types.gen"), filepath.Join(raw, "composable"), "type Query = Record<string, unknown>;",
					"types.gen", "types.gen", "types.gen", "types.gen")
			}
			program := types
			for _, d := range Dashboards() {
				program += "export const d_" + strings.ReplaceAll(d.ID, "-", "_") + ": Dashboard = " + string(compact(d.Grafana())) + ";\n"
			}
			if said := compile(t, index, program); said != "" {
				t.Fatalf("Grafana %s:\n%.3000s", version, said)
			}
			// It would say so if something were wrong.
			good := string(compact(Dashboards()[0].Grafana()))
			for _, wrong := range [][2]string{
				{`"type":"stat"`, `"type":"stats"`},
				{`"textMode":"value"`, `"textMode":"number"`},
				{`"schemaVersion":39`, `"schemaVersion":"39"`},
				{`"gridPos":{`, `"gridPos":{"width":3,`},
			} {
				bad := strings.Replace(good, wrong[0], wrong[1], 1)
				if bad == good {
					t.Fatalf("%s is not in the dashboard", wrong[0])
				}
				program += "// @ts-expect-error\nexport const no_" + fmt.Sprint(len(program)) + ": Dashboard = " + bad + ";\n"
			}
			if said := compile(t, index, program); said != "" {
				t.Errorf("what is wrong was not found:\n%.2000s", said)
			}
		})
	}
}
