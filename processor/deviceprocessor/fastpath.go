package deviceprocessor

import (
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/logrecord"
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

// marks says where in a record stands what markFlow needs to know of it.
type marks struct {
	src, dst string // MAC addresses as written
	known    bool   // somebody said already who an end is
}

// readFlow reads what identity needs of a flow, in one pass; decoding the whole
// record takes about three times as long.
func readFlow(lr plog.LogRecord, r *flow.Record) (has marks) {
	*r = flow.Record{End: int64(lr.Timestamp())}
	attrs := logrecord.Attrs(lr)
	for i := range attrs {
		a := &attrs[i]
		if n, ok := a.Int(); ok {
			switch a.Key() {
			case keyPackets:
				r.Src.Packets = uint64(n)
			case keyPacketsBack:
				r.Dst.Packets = uint64(n)
			case keyFlags:
				r.Src.Flags = uint8(n)
			case keyFlagsBack:
				r.Dst.Flags = uint8(n)
			case keySourcePort:
				r.Src.Port = uint16(n)
			case keyDestPort:
				r.Dst.Port = uint16(n)
			case keyICMPType:
				r.ICMPType = uint8(n)
			case keyStart:
				r.Start = n
			case keyPart:
				r.Part = uint32(n)
			}
		} else if s, ok := a.Str(); ok {
			switch k := a.Key(); k {
			case keySource:
				r.Src.Addr = event.ParseAddr(s)
			case keyDest:
				r.Dst.Addr = event.ParseAddr(s)
			case keySourceMAC:
				r.Src.MAC, has.src = packet.ParseMAC(s), s
			case keyDestMAC:
				r.Dst.MAC, has.dst = packet.ParseMAC(s), s
			case keyService:
				r.Service = s
			case keyTransport:
				switch s {
				case "tcp":
					r.Proto = packet.ProtoTCP
				case "udp":
					r.Proto = packet.ProtoUDP
				default:
					flow.Fields.Set(r, k, text(s), 0)
				}
			case keySourceDevice, keySourceName, keySourceDomain, keyDestDevice, keyDestName, keyDestDomain:
				has.known = true
			}
		} else if t, ok := a.Bool(); ok && a.Key() == keyGuessed {
			r.Guessed = t
		}
	}
	if r.Src.Addr.IsValid() {
		if r.Net = packet.NetIPv6; r.Src.Addr.Is4() {
			r.Net = packet.NetIPv4
		}
	}
	return has
}

// markFlow writes what the inventory said of the two ends. A MAC address that is
// the device's id is not said twice: it becomes the id.
func markFlow(arena *logrecord.Arena, lr plog.LogRecord, r *flow.Record, has marks) {
	if has.known {
		again(lr, r)
		return
	}
	for _, x := range [...]struct{ key, value, macKey, mac string }{
		{keySourceDevice, r.Src.Device, keySourceMAC, has.src}, {keySourceName, r.Src.DeviceName, "", ""}, {keySourceDomain, r.Src.Domain, "", ""},
		{keyDestDevice, r.Dst.Device, keyDestMAC, has.dst}, {keyDestName, r.Dst.DeviceName, "", ""}, {keyDestDomain, r.Dst.Domain, "", ""},
	} {
		switch {
		case x.value == "":
		case x.value == x.mac:
			arena.Replace(lr, x.macKey, x.key, x.value) // x.mac would keep the record's slab
		default:
			arena.Add(lr, x.key, x.value)
		}
	}
}

// again is markFlow for a record in which an end has a device already.
func again(lr plog.LogRecord, r *flow.Record) {
	m := lr.Attributes()
	for _, x := range [...]struct{ key, value string }{
		{keySourceDevice, r.Src.Device}, {keySourceName, r.Src.DeviceName}, {keySourceDomain, r.Src.Domain},
		{keyDestDevice, r.Dst.Device}, {keyDestName, r.Dst.DeviceName}, {keyDestDomain, r.Dst.Domain},
	} {
		if x.value != "" {
			m.PutStr(x.key, x.value)
		}
	}
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
