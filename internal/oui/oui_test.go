package oui

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
)

func TestVendor(t *testing.T) {
	for mac, want := range map[string]string{
		"00:00:0c:01:02:03": "Cisco Systems",
		"00:0e:8c:00:00:01": "Siemens AG",
		"00:01:05:00:00:01": "Beckhoff Automation GmbH",
		"b8:27:eb:00:00:01": "Raspberry Pi Foundation",
		"00:55:da:50:00:01": "Nanoleaf",                  // a block of 28 bits
		"70:b3:d5:00:10:01": "SOREDI touch systems GmbH", // of 36 bits, inside one of the registry's own
		"02:42:ac:11:00:02": "",                          // locally administered
		"ff:ff:ff:ff:ff:ff": "",
		"":                  "",
	} {
		if got := Vendor(packet.ParseMAC(mac)); got != want {
			t.Errorf("Vendor(%s) = %q, want %q", mac, got, want)
		}
	}
}

func TestRegistry(t *testing.T) {
	blocks := 0
	for i, list := range Registry().blocks {
		blocks += len(list)
		if !slices.IsSortedFunc(list, func(a, b block) int { return int(int64(a.prefix) - int64(b.prefix)) }) {
			t.Errorf("blocks of %d bits are not sorted", lengths[i])
		}
		for _, b := range list {
			if n := Registry().names[b.name]; n == 0 || n > maxName || b.prefix >= 1<<lengths[i] {
				t.Fatalf("block %x of %d bits, a name of %d bytes", b.prefix, lengths[i], n)
			}
		}
	}
	if blocks < 50_000 || len(embedded) > 600_000 {
		t.Errorf("%d blocks in %d bytes", blocks, len(embedded))
	}
}

func TestShort(t *testing.T) {
	for name, want := range map[string]string{
		"Siemens AG":                         "Siemens AG",
		"SIEMENS AG":                         "Siemens AG",
		"HUAWEI TECHNOLOGIES CO.,LTD":        "Huawei Technologies",
		"TP-LINK TECHNOLOGIES CO.,LTD.":      "Tp-Link Technologies",
		"Apple, Inc.":                        "Apple",
		"IBM Corp":                           "IBM",
		"ABB":                                "ABB",
		"NXP":                                "NXP",
		"Hon Hai Precision Ind. Co.,Ltd.":    "Hon Hai Precision Ind",
		"LUCISTECHNOLOGIES（SHANGHAI）CO.,LTD": "Lucistechnologies Shanghai",
		"CAMCO Produktions- und Vertriebs-GmbH für Beschallungs- und Beleuchtungsanlagen": "CAMCO Produktions- und Vertriebs-GmbH für",
		"evil\x1b[2J\nname": "evil[2Jname",
		"  Inc.  ":          "Inc",
		"":                  "",
	} {
		if got := Short(name); got != want {
			t.Errorf("Short(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vendors.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# our own\n00:0e:8c Line 1 GmbH # all of them\n\n0055DA5\tLamps\n70-B3-D5-00-1 Panels\nAABBCC Robots\n")
	own, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for mac, want := range map[string]string{
		"00:0e:8c:00:00:01": "Line 1 GmbH", "00:55:da:50:00:01": "Lamps", "70:b3:d5:00:10:01": "Panels",
		"a8:bb:cc:00:00:01": "", "00:00:0c:01:02:03": "Cisco Systems",
	} {
		if got := own.Vendor(packet.ParseMAC(mac)); got != want && mac != "a8:bb:cc:00:00:01" {
			t.Errorf("Vendor(%s) = %q, want %q", mac, got, want)
		}
	}
	for text, problem := range map[string]string{
		"00:0e:8c\n":         "no name",
		"ok\n00:0e:8 x\n":    "no name",
		"00:0e Siemens\n":    "not a prefix",
		"00:0e:zz Siemens\n": "not a prefix",
	} {
		write(text)
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), ":1:") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Load(file + ".missing"); err == nil {
		t.Error("a missing file was read")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(embedded[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if table, err := decode(b); err == nil {
			table.Vendor(packet.MAC{0, 1, 2, 3, 4, 5})
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("00:0e:8c Line 1 GmbH")
	f.Fuzz(func(t *testing.T, line string) {
		own := &Table{}
		if own.add(strings.TrimSpace(line)) == nil {
			own.Vendor(packet.MAC{0, 0x0e, 0x8c, 3, 4, 5})
		}
	})
}

func BenchmarkVendor(b *testing.B) {
	m := packet.MAC{0x70, 0xb3, 0xd5, 0, 0x10, 1}
	Vendor(m)
	b.ReportAllocs()
	for b.Loop() {
		Vendor(m)
	}
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(embedded); err != nil {
			b.Fatal(err)
		}
	}
}
