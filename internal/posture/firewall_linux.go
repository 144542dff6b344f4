package posture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readFirewall tells whether packets are filtered at all. nftables and the older tables stand beside
// each other in a kernel, and either may have the rules.
func readFirewall() (facts, error) {
	rules, err := countRules()
	if rules > 0 {
		return facts{"packet filter": firewallOn}, nil
	}
	old, tables, oerr := countOldRules()
	switch {
	case old > 0:
		return facts{"packet filter": firewallOn}, nil
	case oerr != nil && len(tables) > 0:
		return facts{"packet filter": "not known: the rules of " + strings.Join(tables, ", ") + " can't be counted: " + oerr.Error()}, nil
	case err != nil && !noNFTables(err) || oerr != nil:
		return nil, fmt.Errorf("asking for the firewall's rules: %w", errors.Join(err, oerr))
	}
	return facts{"packet filter": firewallOff}, nil
}

// noNFTables reports whether a kernel answers so because it has no nftables at all.
func noNFTables(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// oldTables are iptables-legacy's: where the kernel lists those that are in use, and how it is asked for one.
var oldTables = []struct {
	program, names        string
	family, level, option int
}{
	// The last are IPT_SO_GET_INFO and IP6T_SO_GET_INFO.
	{"iptables-legacy", "/proc/thread-self/net/ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, 64},
	{"ip6tables-legacy", "/proc/thread-self/net/ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, 64},
}

// countOldRules counts the rules of iptables-legacy, and names the tables that it has.
func countOldRules() (rules int, tables []string, err error) {
	for _, f := range oldTables {
		names, nerr := os.ReadFile(f.names)
		if nerr != nil {
			if !errors.Is(nerr, os.ErrNotExist) { // a kernel without these tables has no list
				err = errors.Join(err, nerr)
			}
			continue
		}
		for _, name := range bytes.Fields(names) {
			tables = append(tables, f.program+" "+string(name))
			n, terr := countTable(f.family, f.level, f.option, string(name))
			if terr != nil {
				err = errors.Join(err, terr)
			}
			rules += n
		}
	}
	return rules, tables, err
}

// tableInfo is the kernel's struct ipt_getinfo, which ip6t_getinfo is like.
type tableInfo struct {
	name                 [32]byte
	hooks                uint32
	hookEntry, underflow [5]uint32
	entries, size        uint32
}

// countTable counts the rules of one of iptables-legacy's tables. A table without any has an entry for
// each chain that it comes with, and one for the end.
func countTable(family, level, option int, name string) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var info tableInfo
	if copy(info.name[:len(info.name)-1], name) < len(name) {
		return 0, fmt.Errorf("no table can be named %q", name)
	}
	size := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return 0, fmt.Errorf("table %s: %w", name, errno)
	}
	return max(int(info.entries)-bits.OnesCount32(info.hooks)-1, 0), nil
}

// countRules counts the rules of nftables, which iptables makes too on today's systems.
func countRules() (int, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, err
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 2}); err != nil {
		return 0, err
	}
	const getRule, newRule = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE
	var req [20]byte // nlmsghdr and nfgenmsg
	binary.NativeEndian.PutUint32(req[0:], uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], getRule)
	binary.NativeEndian.PutUint16(req[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP)
	if err := syscall.Sendto(fd, req[:], 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return 0, err
	}
	rules, buf := 0, make([]byte, 64<<10)
	for {
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return 0, err
		}
		for _, m := range msgs {
			switch m.Header.Type {
			case syscall.NLMSG_DONE:
				return rules, nil
			case syscall.NLMSG_ERROR:
				if len(m.Data) >= 4 {
					if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
						return 0, syscall.Errno(-code)
					}
				}
				return rules, nil
			case newRule:
				rules++
			}
		}
	}
}
