package deviceprocessor

import (
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

// Keys that are read and written for every flow. A test holds them against the
// table of fields.
const (
	keySource       = "source.address"
	keySourcePort   = "source.port"
	keyDest         = "destination.address"
	keyDestPort     = "destination.port"
	keyTransport    = "network.transport"
	keyService      = "network.protocol.name"
	keySourceMAC    = "flow.src_mac"
	keyDestMAC      = "flow.dst_mac"
	keyPackets      = "flow.io.packets"
	keyPacketsBack  = "flow.reverse.io.packets"
	keyFlags        = "flow.tcp_flags"
	keyFlagsBack    = "flow.reverse.tcp_flags"
	keyStart        = "flow.start"
	keyPart         = "flow.part"
	keyICMPType     = "flow.icmp.type"
	keyGuessed      = "flow.initiator_guessed"
	keySourceDevice = "source.device.id"
	keySourceName   = "source.device.name"
	keySourceDomain = "source.domain"
	keyDestDevice   = "destination.device.id"
	keyDestName     = "destination.device.name"
	keyDestDomain   = "destination.domain"
	keyDevice       = "device.id"
)

// readFlow reads what identity needs of a flow, in one pass; decoding the whole
// record takes about three times as long.
func readFlow(lr plog.LogRecord, r *flow.Record) {
	*r = flow.Record{End: int64(lr.Timestamp())}
	for k, v := range lr.Attributes().All() {
		switch v.Type() {
		case pcommon.ValueTypeStr:
			switch k {
			case keySource:
				r.Src.Addr, _ = netip.ParseAddr(v.Str())
			case keyDest:
				r.Dst.Addr, _ = netip.ParseAddr(v.Str())
			case keySourceMAC:
				r.Src.MAC = packet.ParseMAC(v.Str())
			case keyDestMAC:
				r.Dst.MAC = packet.ParseMAC(v.Str())
			case keyService:
				r.Service = v.Str()
			case keyTransport:
				switch v.Str() {
				case "tcp":
					r.Proto = packet.ProtoTCP
				case "udp":
					r.Proto = packet.ProtoUDP
				default:
					flow.Fields.Set(r, k, text(v.Str()), 0)
				}
			}
		case pcommon.ValueTypeInt:
			switch k {
			case keyPackets:
				r.Src.Packets = uint64(v.Int())
			case keyPacketsBack:
				r.Dst.Packets = uint64(v.Int())
			case keyFlags:
				r.Src.Flags = uint8(v.Int())
			case keyFlagsBack:
				r.Dst.Flags = uint8(v.Int())
			case keySourcePort:
				r.Src.Port = uint16(v.Int())
			case keyDestPort:
				r.Dst.Port = uint16(v.Int())
			case keyICMPType:
				r.ICMPType = uint8(v.Int())
			case keyStart:
				r.Start = v.Int()
			case keyPart:
				r.Part = uint32(v.Int())
			}
		case pcommon.ValueTypeBool:
			if k == keyGuessed {
				r.Guessed = v.Bool()
			}
		}
	}
	if r.Src.Addr.IsValid() {
		if r.Net = packet.NetIPv6; r.Src.Addr.Is4() {
			r.Net = packet.NetIPv4
		}
	}
}

// markFlow writes what the inventory said of the two ends.
func markFlow(lr plog.LogRecord, r *flow.Record) {
	m := lr.Attributes()
	for _, x := range [...]struct{ key, value string }{
		{keySourceDevice, r.Src.Device}, {keySourceName, r.Src.DeviceName}, {keySourceDomain, r.Src.Domain},
		{keyDestDevice, r.Dst.Device}, {keyDestName, r.Dst.DeviceName}, {keyDestDomain, r.Dst.Domain},
	} {
		if x.value != "" {
			m.PutStr(x.key, x.value)
		}
	}
	// A MAC address that is the device's id need not be said twice.
	if id := r.Src.Device; id != "" && id == r.Src.MAC.String() {
		m.Remove(keySourceMAC)
	}
	if id := r.Dst.Device; id != "" && id == r.Dst.MAC.String() {
		m.Remove(keyDestMAC)
	}
}

// text is a string attribute for the table of fields.
type text string

var _ event.Value = text("")

func (t text) Str() string           { return string(t) }
func (text) Int() int64              { return 0 }
func (text) Float() float64          { return 0 }
func (text) Bool() bool              { return false }
func (text) Strs() []string          { return nil }
func (text) Ints() []int64           { return nil }
func (text) Reasons() []event.Reason { return nil }
