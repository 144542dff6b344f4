package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// diagnose counts TCP sockets by the kernel's socket diagnosis, which takes a third of the
// time that reading /proc/net/tcp does, as nothing is put into words.
func diagnose(states *[len(ConnectionStates)]int64) error {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 4 /* NETLINK_SOCK_DIAG */)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// A dump never waits for anything but the kernel; this is for one that answers nothing.
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 2}); err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for _, family := range []byte{syscall.AF_INET, syscall.AF_INET6} {
		var req [72]byte // nlmsghdr and inet_diag_req_v2
		binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
		binary.NativeEndian.PutUint16(req[4:], 20 /* SOCK_DIAG_BY_FAMILY */)
		binary.NativeEndian.PutUint16(req[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
		req[16], req[17] = family, syscall.IPPROTO_TCP
		binary.NativeEndian.PutUint32(req[20:], 1<<13-1) // all states
		if err := syscall.Sendto(fd, req[:], 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
			return err
		}
		for done := false; !done; {
			n, _, err := syscall.Recvfrom(fd, buf, 0)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil {
				return err
			}
			if done, err = countDiagnosis(buf[:n], states); err != nil {
				return err
			}
		}
	}
	return nil
}

// countDiagnosis counts the messages of one datagram; done tells that it was the last.
func countDiagnosis(data []byte, states *[len(ConnectionStates)]int64) (done bool, err error) {
	for len(data) >= syscall.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(data))
		if size < syscall.NLMSG_HDRLEN || size > len(data) {
			return false, fmt.Errorf("the kernel tells of sockets in a message of %d bytes, of which %d came", size, len(data))
		}
		switch kind := binary.NativeEndian.Uint16(data[4:]); kind {
		case syscall.NLMSG_DONE:
			return true, nil
		case syscall.NLMSG_ERROR:
			return false, errors.New("the kernel does not tell of sockets")
		default:
			if size < syscall.NLMSG_HDRLEN+2 {
				return false, errors.New("the kernel tells of a socket without its state")
			}
			state := int(data[syscall.NLMSG_HDRLEN+1])
			if state == 12 { // NEW_SYN_RECV
				state = 3
			}
			if state >= 1 && state <= len(states) {
				states[state-1]++
			}
		}
		data = data[min((size+3)&^3, len(data)):]
	}
	return false, nil
}
