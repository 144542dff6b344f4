package app

import (
	"encoding/binary"
	"strconv"

	"github.com/monban/monban/internal/flow"
	"github.com/monban/monban/internal/packet"
)

const (
	mbapHeader = 7   // transaction, protocol, length, unit
	maxADU     = 254 // largest value of its length field
)

// modbusPorts are the TCP ports other than 502 that turned out to speak Modbus:
// three requests there were answered in kind.
type modbusPorts struct {
	asked  [64]modbusAsked
	proved map[uint16]int
}

type modbusAsked struct{ key digest }

const (
	modbusProof    = 3
	maxModbusPorts = 64
)

// maybeModbus looks at a payload that might begin with an MBAP header, on a port
// that is nobody's.
func (i *Inspector) maybeModbus(h *packet.Header, t *flow.Table, slot int32) {
	m := &i.modbus
	switch {
	case m.proved[h.DstPort] >= modbusProof:
		i.modbusSegment(h, t, slot, true)
		return
	case m.proved[h.SrcPort] >= modbusProof:
		i.modbusSegment(h, t, slot, false)
		return
	}
	p := h.Payload
	n := int(binary.BigEndian.Uint16(p[4:]))
	if n != h.PayloadLen-6 || n < 2 || n > maxADU || p[7]&0x7f == 0 || len(p) < 8 {
		return
	}
	message := digest(binary.BigEndian.Uint16(p)).u64(uint64(p[6])<<8 | uint64(p[7]&0x7f))
	if asked := &m.asked[p[1]&63]; asked.key == message.bytes(h.Dst[:]).bytes(h.Src[:]).u64(uint64(h.SrcPort)<<16|uint64(h.DstPort)) {
		*asked = modbusAsked{}
		if m.proved == nil {
			m.proved = map[uint16]int{}
		}
		if len(m.proved) < maxModbusPorts || m.proved[h.SrcPort] > 0 {
			m.proved[h.SrcPort]++
		}
		return
	}
	m.asked[p[1]&63].key = message.bytes(h.Src[:]).bytes(h.Dst[:]).u64(uint64(h.DstPort)<<16 | uint64(h.SrcPort))
}

// modbusSegment reads the messages of one segment. One that goes on in the next
// segment is noted all the same when its function is there; the rest of it, at
// the begin of the next segment, is not a header and is counted as partial.
func (i *Inspector) modbusSegment(h *packet.Header, t *flow.Table, slot int32, request bool) {
	p, left := h.Payload, h.PayloadLen
	for left > 0 {
		if len(p) <= mbapHeader {
			i.stats.Partial++
			return
		}
		n := int(binary.BigEndian.Uint16(p[4:]))
		if p[2] != 0 || p[3] != 0 || n < 2 || n > maxADU {
			i.stats.Partial++
			return
		}
		i.modbusMessage(p[6:min(6+n, len(p))], t, slot, request)
		if 6+n > left || 6+n > len(p) {
			i.stats.Partial++
			return
		}
		p, left = p[6+n:], left-6-n
	}
}

// modbusMessage notes one message, which begins at its unit.
func (i *Inspector) modbusMessage(m []byte, t *flow.Table, slot int32, request bool) {
	if slot < 0 {
		return
	}
	unit, code := m[0], m[1]
	var sub uint16
	if len(m) >= 4 {
		sub = binary.BigEndian.Uint16(m[2:])
	}
	key := uint64(unit)<<32 | uint64(code)<<16
	var command string
	switch {
	case request:
		if code == 8 || code == 43 {
			key |= uint64(sub)
		}
		command = i.orders.of(key, uint64(unit), func() string { return modbusName(code, sub) })
	case code >= 0x80 && len(m) >= 3:
		command = i.orders.of(key|uint64(m[2]), uint64(unit), func() string {
			if s, ok := modbusExceptions[m[2]]; ok {
				return "exception_" + s
			}
			return "exception_" + strconv.Itoa(int(m[2]))
		})
	default:
		return
	}
	i.note(t, slot, "modbus", command)
}

func modbusName(code byte, sub uint16) string {
	if s, ok := modbusDiagnostics[sub]; ok && code == 8 {
		return s
	}
	if code == 43 && sub>>8 == 14 {
		return "read_device_identification"
	}
	if s, ok := modbusFunctions[code]; ok {
		return s
	}
	return "function_" + strconv.Itoa(int(code))
}

// note puts a command on its flow.
func (i *Inspector) note(t *flow.Table, slot int32, service, command string) {
	t.NoteService(slot, service)
	t.NoteCommand(slot, command)
}
