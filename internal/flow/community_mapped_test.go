package flow

import (
	"net/netip"
	"testing"

	"github.com/monban/monban/internal/packet"
)

// An IPv6 packet may come from ::ffff:192.0.2.1, which is held as an IPv4 address.
func TestCommunityIDOfMappedAddress(t *testing.T) {
	r := Record{Net: packet.NetIPv6, Proto: packet.ProtoUDP,
		Src: End{Addr: netip.MustParseAddr("192.0.2.1"), Port: 1}, Dst: End{Addr: netip.MustParseAddr("2001:db8::1"), Port: 2}}
	a := CommunityID(&r)
	r.Src, r.Dst = r.Dst, r.Src
	if b := CommunityID(&r); a == "" || a != b {
		t.Errorf("%q, the other way %q", a, b)
	}
}
