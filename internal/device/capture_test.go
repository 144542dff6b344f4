package device_test

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/internal/app"
	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/oui"
	"github.com/monban/monban/internal/packet"
)

func data(t *testing.T, path ...string) string {
	t.Helper()
	root := os.Getenv("MONBAN_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	p := filepath.Join(append([]string{root}, path...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no shared captures here: %v", err)
	}
	return p
}

// observed is what a capture tells of devices.
type observed struct {
	*device.Inventory
	told    []device.Record
	flows   int
	unknown int // flows whose initiator is at home, spoke, and is no device
}

func observe(t *testing.T, path string) *observed {
	t.Helper()
	src, err := packet.OpenFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	o := &observed{Inventory: device.NewInventory(device.Config{Vendor: oui.Vendor})}
	table := flow.NewTable(flow.NewDefaultConfig(), func(r *flow.Record) {
		o.flows++
		o.told = append(o.told, o.Flow(r)...)
		if r.Src.Device == "" && r.Src.Addr.IsPrivate() && r.Src.Packets > 0 {
			o.unknown++
		}
	})
	inspect := app.NewInspector(app.Config{}, func(s *app.Sighting) { o.told = append(o.told, o.Sighting(s)...) })
	var d packet.Decoder
	var h packet.Header
	frames := make([]packet.Frame, 256)
	for {
		n, err := src.NextBatch(frames)
		for i := range frames[:n] {
			if d.Decode(&frames[i], &h) == packet.OK {
				inspect.Packet(&h, "", table, table.Add(&h, 0))
			}
		}
		var damaged *packet.FileError
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil && !errors.As(err, &damaged) {
			t.Fatal(err)
		}
	}
	table.Flush()
	o.told = append(o.told, o.Flush()...)
	return o
}

// Each capture of a device's set-up shows that device, mostly the gateway, and
// sometimes a phone or another host, each once, and nothing else.
func TestSetups(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(data(t, "iot-sentinel"), "*", "*.pcap"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	gateways, named := 0, 0
	for _, file := range files {
		o := observe(t, file)
		all := o.Devices()
		ids, routers := map[string]bool{}, 0
		for _, r := range o.told {
			if r.Change == device.New {
				if ids[r.ID] {
					t.Errorf("%s: %s is new twice", file, r.ID)
				}
				ids[r.ID] = true
			}
		}
		some := false
		for _, d := range all {
			if d.MAC.IsZero() {
				t.Errorf("%s: %s has no MAC", file, d.ID)
			}
			if d.Router {
				routers++
			}
			some = some || d.Name != ""
		}
		if len(all) < 1 || len(all) > 4 || routers > 1 || o.unknown > 1 {
			t.Errorf("%s: %d devices, %d routers, %d of %d flows by nobody", file, len(all), routers, o.unknown, o.flows)
		}
		gateways += routers
		if some {
			named++
		}
	}
	t.Logf("%d captures: %d with a gateway that passes on, %d with a named device", len(files), gateways, named)
	if gateways < 50 || named < 35 {
		t.Errorf("%d gateways, %d with names", gateways, named)
	}
}

// ARP spoofing for a day changes nobody's identity.
func TestSpoofing(t *testing.T) {
	z, err := zip.OpenReader(data(t, "dnp3-qut", "MITM-training-frequent.attacker.pcap.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	path := filepath.Join(t.TempDir(), "attacker.pcap")
	in, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	out.Close()
	o := observe(t, path)
	if n := len(o.Devices()); n != 7 {
		t.Errorf("%d devices, want 7", n)
	}
	for _, r := range o.told {
		for _, a := range r.Addresses {
			if r.ID == "00:10:18:cb:8c:13" && a != "192.168.10.66" {
				t.Errorf("the attacker got %s", a)
			}
		}
	}
	if o.unknown > 0 {
		t.Errorf("%d of %d flows by nobody", o.unknown, o.flows)
	}
}

// Captures of plants: no address without a host, no flow of a host at home
// without a device.
func TestPlants(t *testing.T) {
	root := data(t, "iti-ics")
	files, flows, devices := 0, 0, 0
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(filepath.Base(path), ".pcap") {
			return err
		}
		if files++; testing.Short() && files%10 != 0 {
			return nil
		}
		o := observe(t, path)
		flows, devices = flows+o.flows, devices+len(o.Devices())
		for _, d := range o.Devices() {
			if d.MAC.IsZero() && len(d.Addresses) == 0 {
				t.Errorf("%s: %s has neither MAC nor address", path, d.ID)
			}
		}
		if o.unknown > 1 {
			t.Errorf("%s: %d of %d flows by nobody", path, o.unknown, o.flows)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d captures, %d flows, %d devices", files, flows, devices)
}
