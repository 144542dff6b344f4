package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
)

// restart saves what was learned and goes on with a new engine.
func (s *site) restart() {
	s.t.Helper()
	data, err := s.Snapshot()
	if err != nil {
		s.t.Fatal(err)
	}
	s.Engine = New(NewDefaultConfig())
	if err := s.Restore(data); err != nil {
		s.t.Fatal(err)
	}
}

// story is forty days of usual work, then some events, of which some are not.
// Pause is called between its parts.
func story(s *site, pause func()) (told []string) {
	for range 4 {
		s.work(10 * 24 * time.Hour)
		pause()
	}
	for i, event := range []func() *flow.Record{
		func() *flow.Record { return s.talk(sensor, broker, 1883) },
		func() *flow.Record { return s.talk(sensor, outside("203.0.113.5"), 6667) },
		func() *flow.Record { return s.command(panel, controller, "1/write_single_coil") },
		func() *flow.Record { return s.command(panel, controller, "1/write_single_coil") },
		func() *flow.Record { return s.command(host(77), controller, "1/read_coils") },
		func() *flow.Record { return s.talk(sensor, cloud, 8883) },
		func() *flow.Record { return s.upload(outside("203.0.113.80"), 50e6) },
		func() *flow.Record {
			r := s.talk(sensor, broker, 1883)
			r.Src.TTLMin, r.Src.TTLMax = 128, 128
			return r
		},
	} {
		s.wait(time.Minute)
		r := event()
		s.Flow(r)
		for _, x := range r.Anomaly.Reasons {
			told = append(told, fmt.Sprintln(i, x.Kind, x.Device, x.Subject))
		}
		pause()
	}
	for _, h := range []flow.End{host(99), sensor} {
		told = append(told, fmt.Sprintln("device", s.appear(h)))
		pause()
	}
	return told
}

func TestRestartsChangeNothing(t *testing.T) {
	a, b := newSite(t), newSite(t)
	through := story(a, func() {})
	restarted := story(b, b.restart)
	if len(through) < 7 {
		t.Fatalf("the story has little to tell: %v", through)
	}
	if !slices.Equal(through, restarted) {
		t.Errorf("without restarts:\n%swith:\n%s", strings.Join(through, ""), strings.Join(restarted, ""))
	}
	x, y := a.status(sensor), b.status(sensor)
	if x.Learned != y.Learned || x.Flows != y.Flows || x.Peers != y.Peers || !slices.Equal(x.Services, y.Services) || x.Usual != y.Usual {
		t.Errorf("without restarts %+v, with %+v", x, y)
	}
	if d := x.Watched - y.Watched; d < 0 || d > 14*600 {
		t.Errorf("fourteen restarts took %g s of the watch", d)
	}
}

func TestSnapshotIsTheSameAfterRestore(t *testing.T) {
	s := newSite(t)
	story(s, func() {})
	before, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	items := s.Items(sensor.Device)
	s.restart()
	after, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the state changes by saving and restoring it")
	}
	if !reflect.DeepEqual(items, s.Items(sensor.Device)) {
		t.Error("the list of learned things changes by saving and restoring it")
	}
}

// TestStateOfAModelIsWhole fails when a field is added to model that is neither
// saved nor known to be short-lived.
func TestStateOfAModelIsWhole(t *testing.T) {
	shortLived := []string{"addr", "contacts", "units", "unitsAt", "tries", "beacons", "askers"}
	for i := range reflect.TypeFor[model]().NumField() {
		f := reflect.TypeFor[model]().Field(i)
		if !f.IsExported() && !slices.Contains(shortLived, f.Name) {
			t.Errorf("model.%s is not saved", f.Name)
		}
	}
}

func TestRestoreOfBadStateChangesNothing(t *testing.T) {
	donor := newSite(t)
	donor.work(time.Hour)
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
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	device := func(m map[string]any) map[string]any { return m["Devices"].([]any)[0].(map[string]any) }
	for _, c := range []struct {
		name string
		data []byte
		is   error
	}{
		{"nothing", nil, nil},
		{"not JSON", []byte("monban"), nil},
		{"truncated", good[:len(good)/2], nil},
		{"a byte too short", good[:len(good)-1], nil},
		{"an older version", edit(func(m map[string]any) { m["Version"] = 0 }), ErrVersion},
		{"a later version", edit(func(m map[string]any) { m["Version"] = 99 }), ErrVersion},
		{"a later version of another shape", []byte(`{"Version":99,"Devices":"elsewhere"}`), ErrVersion},
		{"no version", []byte(`{}`), ErrVersion},
		{"devices of another shape", edit(func(m map[string]any) { m["Devices"] = "none" }), nil},
		{"a device that is null", edit(func(m map[string]any) { m["Devices"] = []any{nil} }), nil},
		{"a device without id", edit(func(m map[string]any) { device(m)["ID"] = "" }), nil},
		{"a device from the future", edit(func(m map[string]any) { device(m)["Since"] = 1e18 }), nil},
		{"more devices than allowed", good, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Engine = New(Config{MaxDevices: 3})
			s.judge(s.talk(sensor, broker, 1883))
			before, _ := s.Snapshot()
			err := s.Restore(c.data)
			if err == nil {
				t.Fatal("it was taken")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error is %q, want %q", err, c.is)
			}
			if after, _ := s.Snapshot(); string(after) != string(before) {
				t.Error("the engine has changed")
			}
		})
	}
}

func TestPoisonedStartIsVisible(t *testing.T) {
	s := newSite(t)
	bad := outside("203.0.113.66")
	for range 300 { // infected before we came
		s.wait(10 * time.Minute)
		s.judge(s.talk(sensor, bad, 6667))
		s.judge(s.talk(sensor, broker, 1883))
	}
	key := func(grain, thing string) string {
		for _, i := range s.Items(sensor.Device) {
			if strings.HasPrefix(i.Key, grain+" ") && strings.Contains(i.Key, thing) {
				return i.Key
			}
		}
		t.Fatalf("%s %s is not listed", grain, thing)
		return ""
	}
	use := func() []string {
		s.wait(10 * time.Minute)
		return s.judge(s.talk(sensor, bad, 6667))
	}
	want(t, use())
	for _, grain := range []string{"svc.out", "net.out", "peer.out"} {
		if err := s.Remove(sensor.Device, key(grain, "tcp/6667")); err != nil {
			t.Fatal(err)
		}
	}
	want(t, use(), NewService)
	s.restart()
	want(t, use(), NewService) // a decision of people outlives a restart
	if err := s.Approve(sensor.Device, key("svc.out", "tcp/6667")); err != nil {
		t.Fatal(err)
	}
	want(t, use(), NewDestination) // the service is fine, where it goes is not
	if err := s.Approve(sensor.Device, key("net.out", "tcp/6667")); err != nil {
		t.Fatal(err)
	}
	if err := s.Approve(sensor.Device, key("peer.out", "tcp/6667")); err != nil {
		t.Fatal(err)
	}
	want(t, use())
	for _, i := range s.Items(sensor.Device) {
		if strings.Contains(i.Key, ".out tcp/6667") && !i.Approved {
			t.Errorf("not approved: %+v", i)
		}
	}
	if err := s.Remove(sensor.Device, "all"); err != nil {
		t.Fatal(err)
	}
	if x := s.Items(sensor.Device); len(x) > 0 {
		t.Errorf("forgotten, it still knows %v", x)
	}
	want(t, use())
	if x := s.status(sensor); x.Learned || x.Flows != 1 {
		t.Errorf("learning does not begin anew: %+v", x)
	}
}

func TestApproveAndRemoveOfTheUnknown(t *testing.T) {
	s := newSite(t)
	s.work(time.Minute)
	for _, c := range [][2]string{
		{"nobody", "all"}, {"nobody", "svc.out tcp/1"}, {sensor.Device, "svc.out tcp/1"}, {sensor.Device, "no.grain x"}, {sensor.Device, ""},
	} {
		if err := s.Approve(c[0], c[1]); !errors.Is(err, ErrUnknown) {
			t.Errorf("approve %q: %v", c, err)
		}
		if err := s.Remove(c[0], c[1]); !errors.Is(err, ErrUnknown) {
			t.Errorf("remove %q: %v", c, err)
		}
	}
	if s.Items("nobody") != nil {
		t.Error("a device nobody knows has items")
	}
}

func TestItemsNameDevices(t *testing.T) {
	s := newSite(t)
	r := s.talk(sensor, broker, 1883)
	r.Dst.DeviceName = "edge-server"
	s.judge(r)
	for _, i := range s.Items(sensor.Device) {
		if i.Key == "peer.out tcp/1883 "+broker.Device {
			if i.What != "peer.out tcp/1883 edge-server" {
				t.Errorf("%+v", i)
			}
			return
		}
	}
	t.Error("the peer is not listed")
}
