package host

import (
	"bytes"
	"fmt"
	"strconv"
)

// ConnectionStates are the states of TCP, by the kernel's numbers less one.
var ConnectionStates = [...]string{"established", "syn_sent", "syn_received", "fin_wait_1", "fin_wait_2", "time_wait",
	"closed", "close_wait", "last_ack", "listen", "closing"}

// Connections counts sockets of TCP by state, and those of UDP.
type Connections struct {
	TCP [len(ConnectionStates)]int64
	UDP int64
}

// Connections counts the sockets of the host. A file that can't be read is counted in faults;
// a kernel without IPv6 has none for it.
func (h *Host) Connections(faults *Faults) (c Connections, err error) {
	read, files := 0, []string{"net/udp", "net/udp6", "net/tcp", "net/tcp6"}
	if h.root == "" { // a socket of ours tells of our own name space only
		if diagnose(&c.TCP) == nil {
			read, files = 1, files[:2]
		} else {
			c.TCP = [len(ConnectionStates)]int64{}
		}
	}
	for _, file := range files {
		data, rerr := readWhole(h.first(file))
		if rerr != nil {
			if FaultOf(rerr) != Vanished {
				faults.Note(rerr)
			}
			err = rerr
			continue
		}
		read++
		if file[4] == 'u' {
			c.UDP += max(int64(bytes.Count(data, []byte{'\n'}))-1, 0)
			continue
		}
		countStates(data, &c.TCP, faults)
	}
	if read == 0 {
		return c, fmt.Errorf("counting connections: %w", err)
	}
	return c, nil
}

// countStates counts the lines of /proc/net/tcp by their fourth column.
func countStates(data []byte, states *[len(ConnectionStates)]int64, faults *Faults) {
	head := true
	for line := range bytes.Lines(data) {
		if head {
			head = false
			continue
		}
		// "  0: 0100007F:0019 00000000:0000 0A …": the state follows the second address.
		rest := line
		for range 3 {
			rest = bytes.TrimLeft(rest, " ")
			_, rest, _ = bytes.Cut(rest, []byte{' '})
		}
		if len(rest) < 2 {
			faults.n[Malformed].Add(1)
			continue
		}
		n, err := strconv.ParseUint(string(rest[:2]), 16, 8)
		if err == nil && n == 12 { // NEW_SYN_RECV
			n = 3
		}
		if err != nil || n < 1 || int(n) > len(states) {
			faults.n[Malformed].Add(1)
			continue
		}
		states[n-1]++
	}
}
