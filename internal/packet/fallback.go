package packet

import (
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Link types that gopacket reads for us.
const (
	linkFDDI     = LinkType(layers.LinkTypeFDDI)
	link80211    = LinkType(layers.LinkTypeIEEE802_11)
	linkPFLog    = LinkType(layers.LinkTypePFLog)
	linkPrism    = LinkType(layers.LinkTypePrismHeader)
	linkRadiotap = LinkType(layers.LinkTypeIEEE80211Radio)
)

// What the hand-written decoder goes on from.
var knownLayers = gopacket.NewLayerClass([]gopacket.LayerType{
	layers.LayerTypeEthernet, layers.LayerTypeIPv4, layers.LayerTypeIPv6, layers.LayerTypeARP,
})

// fallback walks a rare link type with gopacket up to the first layer that is
// decoded by hand. It allocates, and is the only place where a library sees the
// wire; should it panic, the frame is refused.
func fallback(f *Frame, h *Header, b []byte, wire int) (why Reason) {
	switch f.Link {
	default:
		return UnknownLink
	case linkFDDI, link80211, linkPFLog, linkPrism, linkRadiotap:
	}
	defer func() {
		if recover() != nil {
			why = UnknownLink
		}
	}()
	p := gopacket.NewPacket(b, layers.LinkType(f.Link), gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	found := p.LayerClass(knownLayers)
	if found == nil {
		if all := p.Layers(); len(all) == 0 || all[0].LayerType() == gopacket.LayerTypeDecodeFailure {
			return Truncated
		}
		return NoNetwork
	}
	if wifi, ok := p.Layer(layers.LayerTypeDot11).(*layers.Dot11); ok {
		wifiMACs(h, wifi)
	}
	rest := b
	for _, l := range p.Layers() { // it is the payload of the layer before
		if l == found {
			break
		}
		rest = l.LayerPayload()
	}
	b, wire = rest, max(len(rest), wire-len(b)+len(rest))
	switch found.LayerType() {
	case layers.LayerTypeEthernet:
		return ethernet(h, b, wire)
	case layers.LayerTypeARP:
		return network(h, NetARP, b, wire)
	case layers.LayerTypeIPv4:
		return network(h, NetIPv4, b, wire)
	}
	return network(h, NetIPv6, b, wire)
}

// wifiMACs takes sender and receiver from where the frame's direction puts them.
func wifiMACs(h *Header, w *layers.Dot11) {
	src, dst := w.Address2, w.Address1
	switch to, from := w.Flags.ToDS(), w.Flags.FromDS(); {
	case to && from:
		src, dst = w.Address4, w.Address3
	case to:
		dst = w.Address3
	case from:
		src = w.Address3
	}
	if len(src) == len(h.SrcMAC) && len(dst) == len(h.DstMAC) {
		h.SrcMAC, h.DstMAC, h.HasMAC = MAC(src), MAC(dst), true
	}
}
