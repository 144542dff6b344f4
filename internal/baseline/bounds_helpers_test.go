package baseline

import (
	"encoding/binary"
	"net/netip"

	"github.com/monban/monban/internal/device"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// flowEnd is the n-th of many hosts.
func flowEnd(n int) flow.End {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	mac := packet.MAC{6, 0, b[0], b[1], b[2], b[3]}
	return flow.End{Addr: netip.AddrFrom4([4]byte{10, b[1] | 1, b[2], b[3]}), MAC: mac, Device: mac.String(), TTLMin: 64, TTLMax: 64}
}

// outsider is the n-th of many outside addresses.
func outsider(n int) flow.End {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n)|0xc0000000)
	return flow.End{Addr: netip.AddrFrom4(b), MAC: packet.MAC{2, 0, 0, 0, 0, 1}, TTLMin: 50, TTLMax: 50}
}

func newDevice(s *site, e flow.End) *device.Record {
	return &device.Record{Time: s.now, ID: e.Device, Change: device.New, MAC: e.MAC, Addresses: []string{e.Addr.String()}, Evidence: "ARP"}
}

// packetZero is the unspecified address, as an address probe sends it.
var packetZero = netip.AddrFrom4([4]byte{})
