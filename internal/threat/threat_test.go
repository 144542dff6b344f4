package threat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/baseline"
	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
)

var epoch = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC).UnixNano()

// desk hands evidence to an engine and keeps what it reports.
type desk struct {
	*Engine
	t   testing.TB
	now int64
	out []Report
}

func newDesk(t testing.TB) *desk { return &desk{Engine: New(), t: t, now: epoch} }

func (d *desk) wait(x time.Duration) { d.now += int64(x) }

func reason(kind, device string, strength float64) event.Reason {
	return event.Reason{Kind: kind, Device: device, Subject: kind, Strength: strength, Expected: device + " does nothing like it", Seen: device + " did it"}
}

// event is evidence that is no flow.
func (d *desk) event(reasons ...event.Reason) []Report {
	d.t.Helper()
	d.Event(d.now, &event.Anomaly{Score: 1, Reasons: reasons})
	return d.collect(d.Reports())
}

// flow is a flow with evidence.
func (d *desk) flow(src, dst string, reasons ...event.Reason) []Report {
	d.t.Helper()
	d.Flow(record(d.now, src, dst, reasons...))
	return d.collect(d.Reports())
}

func record(at int64, src, dst string, reasons ...event.Reason) *flow.Record {
	end := func(id string) flow.End {
		return flow.End{Addr: netip.AddrFrom4([4]byte{10, 0, id[0], id[len(id)-1]}), Device: id, Packets: 2, Bytes: 100}
	}
	return &flow.Record{Start: at, End: at, Src: end(src), Dst: end(dst), Community: "1:" + src + dst, Anomaly: event.Anomaly{Score: 1, Reasons: reasons}}
}

// quiet lets time pass with nothing unusual.
func (d *desk) quiet(x time.Duration) []Report {
	d.t.Helper()
	d.wait(x)
	d.Tick(d.now)
	return d.collect(d.Reports())
}

func (d *desk) collect(all []Report) []Report {
	d.t.Helper()
	for i := range all {
		if fault := faultOf(all[i]); fault != "" {
			d.t.Errorf("report %s: %s: %+v", all[i].ID, fault, all[i])
		}
	}
	d.out = append(d.out, all...)
	return all
}

// faultOf says what is wrong with a report.
func faultOf(r Report) string {
	switch {
	case len(r.ID) != 12:
		return "the id is not twelve digits"
	case r.Revision == 0 || r.Time == 0 || r.First == 0 || r.Last < r.First:
		return "revision or times"
	case r.Status != "open" && r.Status != "closed":
		return "status"
	case !(r.Confidence > 0 && r.Confidence <= 1):
		return "confidence is not in (0, 1]"
	case !slices.Contains([]string{Low, Medium, High, Critical}, r.Severity):
		return "severity"
	case ClassOf(r.Class).Name != r.Class || ClassOf(r.Class).Title != r.Title:
		return "class"
	case r.Device == "" || r.Summary == "" || r.Expected == "" || r.Seen == "" || r.Action == "" || len(r.Evidence) == 0:
		return "it does not explain itself"
	case len(r.Victims) > maxVictims || len(r.Community) > maxCommunity:
		return "lists grow"
	}
	return ""
}

// ids lists the distinct reports, in order.
func (d *desk) ids() (all []string) {
	for _, r := range d.out {
		if !slices.Contains(all, r.ID) {
			all = append(all, r.ID)
		}
	}
	return all
}

func (d *desk) last() Report {
	d.t.Helper()
	if len(d.out) == 0 {
		d.t.Fatal("nothing was reported")
	}
	return d.out[len(d.out)-1]
}

func TestOneReportAnIncident(t *testing.T) {
	d := newDesk(t)
	for range 600 { // ten minutes of a scan, ten flows a second
		for range 10 {
			d.wait(100 * time.Millisecond)
			d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
		}
	}
	if n := len(d.ids()); n != 1 {
		t.Fatalf("%d reports", n)
	}
	if n := len(d.out); n > 11 {
		t.Errorf("ten minutes bring %d revisions", n)
	}
	for i, r := range d.out {
		if int(r.Revision) != i+1 || r.Status != "open" || r.Class != PortScan {
			t.Errorf("revision %d is number %d, %s, %s", i+1, r.Revision, r.Status, r.Class)
		}
		if i > 0 && (r.Flows <= d.out[i-1].Flows || r.Time-d.out[i-1].Time < again/2) {
			t.Errorf("revision %d brings nothing, or too early", i+1)
		}
	}
	if got := d.quiet(idle - time.Second); len(got) > 0 && got[0].Status == "closed" {
		t.Error("closed before it was idle")
	}
	d.quiet(2 * time.Minute)
	if r := d.last(); r.Status != "closed" || r.Flows != 6000 || r.Packets != 6000*4 || r.Bytes != 6000*200 {
		t.Errorf("at the end it is %s with %d flows, %d packets, %d bytes", r.Status, r.Flows, r.Packets, r.Bytes)
	}
	if got := d.quiet(time.Hour); len(got) > 0 {
		t.Errorf("after its end there is more: %+v", got)
	}
	d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	d.quiet(time.Minute)
	if n := len(d.ids()); n != 2 {
		t.Errorf("a scan an hour later makes %d reports in all", n)
	}
}

func TestNothingTwice(t *testing.T) {
	d := newDesk(t)
	d.flow("a", "b", reason(baseline.SynFlood, "a", 1))
	d.quiet(10 * time.Second)
	before := len(d.out)
	for range 20 {
		d.quiet(10 * time.Second)
	}
	if len(d.out) != before {
		t.Errorf("without new evidence there are %d more revisions", len(d.out)-before)
	}
}

func TestWeakSignsMakeNoReport(t *testing.T) {
	for _, r := range []event.Reason{
		reason(baseline.NewName, "a", 5), reason(baseline.UnusualHour, "a", 2), reason(baseline.NewPeer, "a", 2.9),
		reason(baseline.ARPConflict, "a", 0.4), reason(baseline.NewDevice, "a", 0.3),
	} {
		d := newDesk(t)
		d.flow("a", "b", r)
		d.quiet(time.Minute)
		d.quiet(time.Hour)
		if len(d.out) > 0 {
			t.Errorf("%s at %g makes a report: %+v", r.Kind, r.Strength, d.out[0])
		}
	}
}

func TestWeakSignsAddUp(t *testing.T) {
	d := newDesk(t)
	d.flow("a", "b", reason(baseline.NewService, "a", 2.9))
	d.flow("a", "b", reason(baseline.NewServed, "a", 2.9))
	d.quiet(time.Minute)
	if r := d.last(); r.Class != NewService {
		t.Errorf("two signs make %q", r.Class)
	}
}

// TestEachKindHasItsClass holds what each kind of evidence, certain, is called.
func TestEachKindHasItsClass(t *testing.T) {
	for kind, want := range map[string]string{
		baseline.HostSweep: HostScan, baseline.PortSweep: PortScan, baseline.SynFlood: Flood, baseline.OTFlood: Flood,
		baseline.BruteForce: BruteForce, baseline.ARPConflict: ARPSpoofing, baseline.Relayed: ARPSpoofing, baseline.Misdirected: ARPSpoofing,
		baseline.StackHandshake: Masquerade, baseline.StackConflict: Masquerade, baseline.SpoofedCommand: OTInjection, baseline.SpoofedReport: OTSpoofing,
		baseline.OTEnumeration: OTScan, baseline.NewMaster: NewOTMaster, baseline.NewWrite: NewOTCommand, baseline.NewCommand: NewOTCommand,
		baseline.Volume: Exfiltration, baseline.Beacon: Beacon, baseline.Silent: SilentDevice, baseline.NewDevice: NewDevice,
		baseline.NewService: NewService, baseline.NewServed: NewService, baseline.NewDestination: NewPeer, baseline.NewPeer: NewPeer, baseline.NewClient: NewPeer,
	} {
		t.Run(kind, func(t *testing.T) {
			strength := 1.0
			for _, x := range baseline.Definitions() {
				if x.Kind == kind && !x.Rule {
					strength = 5
				}
			}
			d := newDesk(t)
			d.flow("a", "b", reason(kind, "a", strength))
			d.quiet(time.Minute)
			r := d.last()
			if r.Class != want || r.Device != "a" {
				t.Errorf("class %s of %s, want %s of a", r.Class, r.Device, want)
			}
			if c := ClassOf(want); !slices.Equal(r.Enterprise, c.Enterprise) || !slices.Equal(r.ICS, c.ICS) || r.Action != c.Action {
				t.Error("techniques or action are another class's")
			}
			if limit := AtLeast(ClassOf(want).Severity, r.Severity); !limit {
				t.Errorf("severity %s is above the class's", r.Severity)
			}
		})
	}
}

func TestUnknownIsAnAnswer(t *testing.T) {
	d := newDesk(t)
	d.flow("a", "b", reason(baseline.UnusualHour, "a", 10))
	d.quiet(time.Minute)
	if r := d.last(); r.Class != Unknown || r.Action == "" {
		t.Errorf("class %s", r.Class)
	}
	if ClassOf("no such class").Name != Unknown {
		t.Error("a class nobody knows is not unknown")
	}
}

func TestNoveltyJoinsAndGivesWay(t *testing.T) {
	t.Run("novelty first", func(t *testing.T) {
		d := newDesk(t)
		d.flow("a", "b", reason(baseline.NewService, "a", 4))
		d.quiet(10 * time.Second)
		if d.last().Class != NewService {
			t.Fatalf("class is %s", d.last().Class)
		}
		d.wait(time.Minute)
		d.flow("a", "b", reason(baseline.BruteForce, "a", 1))
		d.quiet(time.Minute)
		if len(d.ids()) != 1 || d.last().Class != BruteForce {
			t.Errorf("%d reports, the last %s", len(d.ids()), d.last().Class)
		}
	})
	t.Run("novelty afterwards", func(t *testing.T) {
		d := newDesk(t)
		d.flow("a", "b", reason(baseline.BruteForce, "a", 1))
		for range 5 {
			d.wait(20 * time.Second)
			d.flow("a", "b", reason(baseline.NewService, "a", 4))
		}
		d.quiet(time.Minute)
		if len(d.ids()) != 1 || d.last().Class != BruteForce || !strings.Contains(strings.Join(d.last().Evidence, " "), baseline.NewService) {
			t.Errorf("%d reports, the last %s for %v", len(d.ids()), d.last().Class, d.last().Evidence)
		}
	})
	t.Run("in one flow", func(t *testing.T) {
		d := newDesk(t)
		d.flow("a", "b", reason(baseline.NewDestination, "a", 3.5), reason(baseline.Volume, "a", 6))
		d.quiet(time.Minute)
		if len(d.ids()) != 1 || d.last().Class != Exfiltration {
			t.Errorf("%d reports, the last %s", len(d.ids()), d.last().Class)
		}
	})
}

func TestFamiliesStayApart(t *testing.T) {
	d := newDesk(t)
	for range 10 {
		d.wait(time.Second)
		d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
		d.flow("a", "b", reason(baseline.SynFlood, "a", 1))
		d.flow("c", "b", reason(baseline.SynFlood, "c", 1))
	}
	d.quiet(time.Minute)
	got := map[string]bool{}
	for _, r := range d.out {
		got[r.Class+" of "+r.Device] = true
	}
	want := map[string]bool{PortScan + " of a": true, Flood + " of a": true, Flood + " of c": true}
	if !reflect.DeepEqual(got, want) || len(d.ids()) != 3 {
		t.Errorf("%d reports: %v", len(d.ids()), got)
	}
}

func TestScanOfHostsAndPortsIsOneIncident(t *testing.T) {
	d := newDesk(t)
	for i := range 40 {
		d.wait(500 * time.Millisecond)
		kind := baseline.HostSweep
		if i > 10 {
			kind = baseline.PortSweep
		}
		d.flow("a", fmt.Sprint("b", i), reason(kind, "a", 1))
	}
	d.quiet(time.Minute)
	if len(d.ids()) != 1 {
		t.Errorf("%d reports", len(d.ids()))
	}
	if n := len(d.last().Victims); n == 0 || n > maxVictims {
		t.Errorf("%d victims", n)
	}
}

func TestNewDeviceThatAttacksIsTwoReports(t *testing.T) {
	d := newDesk(t)
	d.event(reason(baseline.NewDevice, "a", 1))
	d.wait(30 * time.Second)
	d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	d.quiet(time.Minute)
	if len(d.ids()) != 2 {
		t.Errorf("%d reports", len(d.ids()))
	}
}

func TestDoubtLowersSeverity(t *testing.T) {
	severity := func(strength float64) string {
		d := newDesk(t)
		d.flow("a", "b", reason(baseline.NewService, "a", strength))
		d.quiet(time.Minute)
		return d.last().Severity
	}
	sure, unsure := severity(8), severity(3.05)
	if sure != ClassOf(NewService).Severity || AtLeast(unsure, sure) {
		t.Errorf("sure it is %s, unsure %s", sure, unsure)
	}
}

func TestUnclearClassWaits(t *testing.T) {
	var doubtful []event.Reason
	for _, x := range baseline.Definitions() {
		for _, y := range baseline.Definitions() {
			for n := 1.0; n <= 8; n++ {
				if x.Rule && n > 1 || y.Rule && n > 1 || familyOf(x.Kind) != familyOf(y.Kind) {
					continue
				}
				in := &incident{Kinds: map[string]*kind{}}
				in.add(reason(x.Kind, "a", n))
				in.add(reason(y.Kind, "a", n))
				if rank := in.rank(); rank[0].score > 0 && rank[0].score-rank[1].score < clearMargin {
					doubtful = []event.Reason{reason(x.Kind, "a", n), reason(y.Kind, "a", n)}
				}
			}
		}
	}
	if doubtful == nil {
		t.Skip("no two kinds of evidence leave a doubt")
	}
	d := newDesk(t)
	if got := d.flow("a", "b", doubtful...); len(got) > 0 {
		t.Errorf("told at once: %s, or %s", got[0].Class, got[0].Runner)
	}
	d.quiet(time.Duration(patience) + time.Second)
	if len(d.out) != 1 || d.out[0].Runner == "" {
		t.Errorf("after the wait: %+v", d.out)
	}
}

func TestFlushTellsWhatIsOpen(t *testing.T) {
	d := newDesk(t)
	d.Flow(record(d.now, "a", "b", reason(baseline.PortSweep, "a", 1)))
	if got := d.collect(d.Flush()); len(got) != 1 || got[0].Status != "open" {
		t.Errorf("%+v", got)
	}
	if got := d.Flush(); len(got) != 0 {
		t.Errorf("told twice: %+v", got)
	}
}

func TestLateEvidenceIsNoIncidentOfItsOwn(t *testing.T) {
	d := newDesk(t)
	for range 200 { // flows that are written ten minutes after they ended
		d.quiet(5 * time.Second)
		d.Flow(record(d.now-600e9, "a", "b", reason(baseline.HostSweep, "a", 1)))
		d.collect(d.Reports())
	}
	if n := len(d.ids()); n != 1 {
		t.Errorf("%d reports", n)
	}
}

func TestClockSetBack(t *testing.T) {
	d := newDesk(t)
	d.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	d.quiet(time.Minute)
	d.wait(-365 * 24 * time.Hour)
	for range 20 {
		d.wait(30 * time.Second)
		d.flow("c", "b", reason(baseline.SynFlood, "c", 1))
	}
	d.quiet(10 * time.Minute)
	status := map[string]string{}
	for _, r := range d.out {
		status[r.Class] = r.Status
	}
	if status[PortScan] != "closed" || status[Flood] != "closed" || len(d.ids()) != 2 || len(d.open) != 0 {
		t.Errorf("%d reports, %v, %d open", len(d.ids()), status, len(d.open))
	}
}

func TestNamesAreShown(t *testing.T) {
	d := newDesk(t)
	d.Name("a", "plc-1")
	d.Name("a", "")
	r := record(d.now, "a", "b", reason(baseline.PortSweep, "a", 1))
	r.Dst.DeviceName = "edge-server"
	d.Flow(r)
	d.quiet(time.Minute)
	got := d.last()
	if got.DeviceName != "plc-1" || len(got.Victims) != 1 || !strings.HasPrefix(got.Victims[0], "edge-server (") || len(got.Community) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAtLeast(t *testing.T) {
	all := []string{"nonsense", Low, Medium, High, Critical}
	for i, a := range all {
		for j, b := range all {
			if got := AtLeast(a, b); got != (i >= j) {
				t.Errorf("%s at least %s: %v", a, b, got)
			}
		}
	}
}

// attack is a story of several incidents that goes on for a while.
func attack(d *desk, pause func()) {
	for i := range 60 {
		d.wait(10 * time.Second)
		d.flow("a", fmt.Sprint("b", i%4), reason(baseline.PortSweep, "a", 1))
		if i > 20 {
			d.flow("c", "b", reason(baseline.NewMaster, "c", 3), reason(baseline.NewWrite, "c", 3))
		}
		if i%7 == 0 {
			d.event(reason(baseline.NewDevice, fmt.Sprint("n", i), 1))
		}
		pause()
	}
	d.quiet(time.Hour)
}

func TestRestartsChangeNothing(t *testing.T) {
	through, restarted := newDesk(t), newDesk(t)
	through.Name("a", "laptop")
	restarted.Name("a", "laptop")
	attack(through, func() {})
	attack(restarted, func() {
		data, err := restarted.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		restarted.Engine = New()
		if err := restarted.Restore(data); err != nil {
			t.Fatal(err)
		}
	})
	if !reflect.DeepEqual(through.out, restarted.out) {
		t.Errorf("%d reports without restarts, %d with; ids %v and %v", len(through.out), len(restarted.out), through.ids(), restarted.ids())
	}
}

func TestSameEvidenceSameReports(t *testing.T) {
	a, b := newDesk(t), newDesk(t)
	attack(a, func() {})
	attack(b, func() {})
	if !reflect.DeepEqual(a.out, b.out) {
		t.Error("two runs over the same evidence differ")
	}
}

func TestRestoreOfBadStateChangesNothing(t *testing.T) {
	donor := newDesk(t)
	donor.flow("a", "b", reason(baseline.PortSweep, "a", 1))
	good, err := donor.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(m map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(good, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		out, _ := json.Marshal(m)
		return out
	}
	for _, c := range []struct {
		name string
		data []byte
		is   error
	}{
		{"nothing", nil, nil},
		{"truncated", good[:len(good)/2], nil},
		{"another version", edit(func(m map[string]any) { m["Version"] = 99 }), ErrVersion},
		{"no version", []byte("{}"), ErrVersion},
		{"an incident that is null", edit(func(m map[string]any) { m["Open"] = []any{nil} }), nil},
		{"an incident without evidence", edit(func(m map[string]any) { m["Open"] = []any{map[string]any{"Actors": []string{"a"}}} }), nil},
		{"another shape", edit(func(m map[string]any) { m["Open"] = "none" }), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			d.Flow(record(d.now, "x", "y", reason(baseline.SynFlood, "x", 1)))
			before, _ := d.Snapshot()
			err := d.Restore(c.data)
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error is %v", err)
			}
			if after, _ := d.Snapshot(); string(after) != string(before) {
				t.Error("the engine has changed")
			}
		})
	}
}

func TestMemoryIsBounded(t *testing.T) {
	d := newDesk(t)
	for i := range 300_000 {
		id := fmt.Sprint("device ", i)
		d.Name(id, "name of "+id)
		d.now += int64(100 * time.Microsecond)
		r := record(d.now, "a", "b", reason(baseline.SynFlood, id, 1), reason(fmt.Sprint("kind ", i), id, 1))
		r.Src.Device = id
		d.Flow(r)
		if i%20000 == 0 {
			d.collect(d.Reports())
		}
	}
	if len(d.open) > maxOpen || len(d.by) > 2*maxOpen || len(d.names) > maxNames || d.Dropped == 0 {
		t.Errorf("%d open incidents of %d actors, %d names, %d dropped", len(d.open), len(d.by), len(d.names), d.Dropped)
	}
	for _, in := range d.open {
		if len(in.Kinds) > len(weights) || len(in.Actors) > maxActors {
			t.Fatalf("an incident has %d kinds, %d actors", len(in.Kinds), len(in.Actors))
		}
	}
	d.quiet(time.Hour)
	if len(d.open) != 0 || len(d.by) != 0 {
		t.Errorf("after an hour of quiet %d incidents of %d actors are open", len(d.open), len(d.by))
	}
}

func TestNonsenseMakesNoReport(t *testing.T) {
	d := newDesk(t)
	for _, r := range []event.Reason{
		reason("no such kind", "a", 1), reason(baseline.PortSweep, "", 1), reason(baseline.PortSweep, "a", math.NaN()),
		reason(baseline.PortSweep, "a", math.Inf(1)), reason(baseline.PortSweep, "a", -5), reason(baseline.PortSweep, "a", 1e300), {},
	} {
		d.flow("a", "b", r)
		d.event(r)
	}
	d.event()
	d.quiet(time.Minute)
	d.quiet(time.Hour)
	if len(d.out) > 0 {
		t.Errorf("%+v", d.out)
	}
	if _, err := d.Snapshot(); err != nil {
		t.Error(err)
	}
}

// What comes without a time moves nothing.
func TestNoTime(t *testing.T) {
	e := New()
	const at = int64(1767571200e9)
	ids := map[string]bool{}
	for i := range int64(4) {
		e.Event(at+i*60e9, &event.Anomaly{Score: 0.9, Reasons: []event.Reason{{Kind: baseline.StuckMetric, Device: "a", Subject: "m", Strength: 0.9, Expected: "x", Seen: "y"}}})
		e.Tick(0)
		for _, r := range e.Reports() {
			ids[r.ID] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d incidents of one", len(ids))
	}
}
