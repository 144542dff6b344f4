package quality

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/monban/monban/internal/threat"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/quality/chain"
)

// staged is an attack of a truth, by whom where that is told, in seconds since the Unix epoch.
type staged struct {
	classes  []string
	device   string
	from, to float64
}

// labelled is a set of captures with what must be found in each.
type labelled struct {
	name string
	runs []labelledRun
}

type labelledRun struct {
	paths  []string
	staged []staged
}

func always(classes ...string) staged { return staged{classes, "", 0, math.Inf(1)} }

func labelledSets(t *testing.T) []labelled {
	t.Helper()
	f, err := os.Open(demo("truth.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	d := labelledRun{paths: []string{demo("demo.pcap.gz")}}
	for _, row := range rows[1:] {
		start, _ := strconv.ParseFloat(row[1], 64)
		end, _ := strconv.ParseFloat(row[2], 64)
		d.staged = append(d.staged, staged{demoClasses[row[3]], row[4], start - 1, end + 10})
	}
	dnp3 := labelled{name: "DNP3"}
	for _, day := range []string{"control", "injection", "MITM", "masquerading"} {
		archive := filepath.Join(testbed.Data(t, "dnp3-qut"), day+"-training-frequent.")
		run := labelledRun{paths: []string{unzip(t, archive+"attacker.pcap.zip", ".pcap")}}
		for _, w := range windows(t, unzip(t, archive+"Attack_script_log.log.zip", ".log")) {
			classes := []string{qutClass(w.name)}
			if classes[0] == "scan" {
				classes = []string{threat.HostScan, threat.PortScan}
			}
			run.staged = append(run.staged, staged{classes, "", w.start - 5, w.end + 60})
		}
		dnp3.runs = append(dnp3.runs, run)
	}
	const modbus = "_modbus_6RTU_with_operate.pcap"
	small := labelled{"small captures", []labelledRun{
		{[]string{testbed.Data(t, "modbus-lemay", "characterization"+modbus)}, []staged{always(threat.Flood)}},
		{[]string{testbed.Data(t, "modbus-lemay", "send_a_fake_command"+modbus)}, []staged{always(threat.NewOTMaster)}},
		{[]string{testbed.Data(t, "netns-demo", "demo.pcap")}, []staged{always(threat.Flood), always(threat.PortScan)}},
		{[]string{testbed.Data(t, "slips", "test12-icmp-portscan.pcap")}, []staged{always(threat.HostScan)}},
		{[]string{testbed.Data(t, "slips", "test7-malicious.pcap")}, []staged{always(threat.HostScan)}},
		{[]string{testbed.Data(t, "simple-scan", "port_scan.pcap")}, []staged{always(threat.PortScan)}},
		{[]string{testbed.Data(t, "simple-scan", "scan_with_zero_windows.pcap")}, []staged{always(threat.HostScan)}},
		{[]string{testbed.Data(t, "simple-scan", "445_scan.pcap")}, []staged{always(threat.HostScan)}},
	}}
	injected := labelled{name: "in a week"}
	for _, x := range injections {
		if lock := weeks(t)[1]; x.want != nil {
			s, begin := lock.stage(x.run, 1, 0)
			at := float64(begin.Unix())
			injected.runs = append(injected.runs, labelledRun{[]string{lock.file, write(t, s.frames, begin)},
				[]staged{{x.want[:1], "", at, at + s.at.Seconds() + 600}}})
		}
	}
	quiet := labelled{name: "benign"}
	err = filepath.WalkDir(testbed.Data(t, "iot-sentinel"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(d.Name(), ".pcap") {
			quiet.runs = append(quiet.runs, labelledRun{paths: []string{path}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return []labelled{{"demo", []labelledRun{d}}, dnp3, small, injected, quiet}
}

// found counts the attacks of a run that have a report of their class.
func (x *labelledRun) found(told *chain.Reported) (n int) {
	for _, s := range x.staged {
		if slices.ContainsFunc(told.Order, func(id string) bool {
			r := told.Reports[id]
			return slices.Contains(s.classes, r.Class) && (s.device == "" || s.device == r.Device) &&
				float64(r.Last)/1e9 >= s.from && float64(r.First)/1e9 <= s.to
		}) {
			n++
		}
	}
	return n
}

// kinds counts the reports of each class and device. What two partitions tell alike, under one
// id, is one.
func kinds(told *chain.Reported) map[string]int {
	m, have := map[string]int{}, map[[2]string]bool{}
	for _, r := range told.Reports {
		id, _, _ := strings.Cut(r.ID, "/")
		if k := [2]string{id, r.Class}; !have[k] {
			have[k] = true
			m[r.Class+" of "+r.Device]++
		}
	}
	return m
}

// score adds up what a way of splitting reports otherwise than the whole chain.
type score struct{ devices, missing, doubled, besides int }

// against counts what differs from the reports of the whole chain.
func (x *score) against(whole, got map[string]int) {
	for k, n := range whole {
		if less := max(0, n-got[k]); strings.HasPrefix(k, threat.NewDevice) {
			x.devices += less
		} else {
			x.missing += less
		}
	}
	for k, n := range got {
		if whole[k] == 0 {
			x.besides += n
		} else {
			x.doubled += max(0, n-whole[k])
		}
	}
}

// splitWays are the ways that docs/quality.md has letters for.
var splitWays = []struct {
	letter string
	way    chain.Way
}{
	{"A", chain.Way{}}, {"B", chain.Way{Broadcast: true}}, {"C", chain.Way{Twice: true}}, {"D", chain.Way{Twice: true, Broadcast: true}},
	{"E", chain.Way{Twice: true, Broadcast: true, OneThreat: true}}, {"F", chain.Way{Twice: true, Broadcast: true, OneThreat: true, Counted: true}},
}

// hashes is how many times each way is tried, with other devices together each time.
const hashes = 2

// What is lost when the flows of a site are judged in partitions by device: docs/adr/0015.
func TestSplit(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute")
	}
	sizes := []int{2, 4, 12}
	ways := []chain.Way{{Partitions: 1}, {Partitions: 1, Twice: true, Broadcast: true}}
	for _, n := range sizes {
		for _, x := range splitWays {
			for salt := range byte(hashes) {
				x.way.Partitions, x.way.Salt = n, salt
				ways = append(ways, x.way)
			}
		}
	}
	sets := labelledSets(t)
	columns, first := []string{"Way", "Partitions"}, []string{"whole", "1"}
	found, all := make([]map[chain.Way]int, len(sets)), map[chain.Way]*score{}
	devices, others := 0, 0
	for _, w := range ways {
		all[w] = &score{}
	}
	for i, set := range sets {
		staged, right := 0, 0
		found[i] = map[chain.Way]int{}
		for _, x := range set.runs {
			c := chain.New()
			for _, w := range ways {
				c.Splits = append(c.Splits, chain.NewSplit(w))
			}
			if err := c.Read(x.paths...); err != nil {
				t.Fatal(err)
			}
			staged, right = staged+len(x.staged), right+x.found(&c.Reported)
			whole := kinds(&c.Reported)
			for k, n := range whole {
				if strings.HasPrefix(k, threat.NewDevice) {
					devices += n
				} else {
					others += n
				}
			}
			for _, s := range c.Splits {
				if s.Partitions == 1 && !reflect.DeepEqual(c.Reported, s.Reported) {
					t.Errorf("%s: one partition tells %v, the whole chain %v", x.paths, kinds(&s.Reported), whole)
				}
				if len(x.staged) == 0 && len(s.Reports) > len(c.Reports) {
					t.Errorf("%s: %+v reports benign traffic: %v", x.paths, s.Way, kinds(&s.Reported))
				}
				found[i][s.Way] += x.found(&s.Reported)
				all[s.Way].against(whole, kinds(&s.Reported))
			}
		}
		if staged > 0 {
			columns, first = append(columns, fmt.Sprintf("%s, of %d", set.name, staged)), append(first, num(right))
		}
	}
	y := newTable(append(columns, fmt.Sprintf("new devices not told, of %d", devices), fmt.Sprintf("other reports missing, of %d", others), "told too often", "told besides")...)
	y.row(append(first, "0", "0", "0", "0")...)
	for _, x := range splitWays {
		for _, n := range sizes {
			mean := func(of func(chain.Way) int) (sum float64) {
				for salt := range byte(hashes) {
					x.way.Partitions, x.way.Salt = n, salt
					sum += float64(of(x.way)) / hashes
				}
				return sum
			}
			cells := []string{x.letter, num(n)}
			add := func(of func(chain.Way) int) {
				cells = append(cells, strconv.FormatFloat(math.Round(mean(of)*10)/10, 'f', -1, 64))
			}
			for i := range len(columns) - 2 {
				add(func(w chain.Way) int { return found[i][w] })
			}
			add(func(w chain.Way) int { return all[w].devices })
			add(func(w chain.Way) int { return all[w].missing })
			add(func(w chain.Way) int { return all[w].doubled })
			add(func(w chain.Way) int { return all[w].besides })
			y.row(cells...)
			if mean(func(w chain.Way) int { return all[w].devices + all[w].missing + all[w].doubled + all[w].besides }) == 0 {
				t.Errorf("way %s, %d partitions: nothing differs from the whole site, so docs/adr/0015 is to be decided anew", x.letter, n)
			}
			if mean(func(w chain.Way) int { return found[1][w] }) < 200 || mean(func(w chain.Way) int { return found[2][w] }) < 9 {
				t.Errorf("way %s, %d partitions: fewer attacks are found than when this was written", x.letter, n)
			}
		}
	}
	y.hold(t, "split")
}
