package packetflowreceiver

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/monban/monban/internal/packet"
	"github.com/monban/monban/internal/privilege"
)

// listen opens the interfaces and mirrors, and gives up what only that needed.
func (r *flowReceiver) listen() (packet.Source, error) {
	c, err := r.cfg.capture()
	if err != nil {
		return nil, err
	}
	source, err := packet.OpenLive(c)
	if err == nil {
		r.tellBuffers(source.Stats().Interfaces)
	}
	if err != nil || r.cfg.Privileges == privilegesKeep {
		return source, err
	}
	err = privilege.Drop(r.cfg.User)
	switch {
	case err == nil:
		return source, nil
	case r.cfg.User == "":
		r.log.Warn("Privileges could not be given up; the process keeps them", zap.Error(err))
		return source, nil
	}
	return nil, errors.Join(fmt.Errorf("giving up privileges: %w", err), source.Close())
}

// tellBuffers warns of mirrors' sockets for which the kernel has less room than they should have.
func (r *flowReceiver) tellBuffers(all []packet.InterfaceStats) {
	for _, i := range all {
		if i.Buffer >= i.Asked {
			continue
		}
		instead := "start the program with the capability CAP_NET_ADMIN"
		if privilege.GaveUpNetAdmin() { // sockets of one receiver are all open before it is given up
			instead = "let one receiver take all interfaces and mirrors, since another has given up CAP_NET_ADMIN when its own were open"
		}
		r.log.Warn(fmt.Sprintf("The kernel gives a smaller buffer than buffer_mib asks for; copies that come in bursts may be lost. Raise its limit with `sysctl -w net.core.rmem_max=%d`, or %s.",
			i.Asked, instead), zap.String("socket", i.Name), zap.Int("bytes", i.Buffer))
	}
}

// outages remembers how it stands with interfaces, to say each change once.
type outages map[string]string

const (
	linkDown = "An interface has no link; nothing comes until it has"
	linkGone = "An interface is gone; it is listened to again when it is back"
	linkBack = "An interface is back"
)

func (o *outages) tell(log *zap.Logger, all []packet.InterfaceStats) {
	for _, i := range all {
		is := linkBack
		switch {
		case i.Gone:
			is = linkGone
		case i.Down:
			is = linkDown
		}
		was, known := (*o)[i.Name]
		if is == was || !known && is == linkBack {
			continue
		}
		if *o == nil {
			*o = outages{}
		}
		(*o)[i.Name] = is
		if fields := []zap.Field{zap.String("interface", i.Name)}; i.Gone {
			log.Warn(is, append(fields, zap.String("why", i.Fault))...)
		} else {
			log.Warn(is, fields...)
		}
	}
}
