package posture

import (
	"encoding/binary"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The process's first thread stays with the main goroutine, as /proc/self shows that thread's network.
func init() { runtime.LockOSThread() }

// namespace gives the test a network of its own, whose packets nobody filters yet. Its thread is
// never unlocked, and ends with the test.
func namespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no right to a network of its own: %v", err)
	}
}

func firewall(t *testing.T) string {
	t.Helper()
	got, err := readFirewall()
	if err != nil {
		t.Fatal(err)
	}
	return got["packet filter"]
}

// TestOldFirewall puts a rule into the tables of iptables-legacy, beside nftables without any.
func TestOldFirewall(t *testing.T) {
	namespace(t)
	if got := firewall(t); got != firewallOff {
		t.Errorf("a new network %s", got)
	}
	if _, err := countTable(unix.AF_INET, unix.IPPROTO_IP, 64, "filter"); err != nil { // which loads it
		t.Skipf("the kernel has no old tables: %v", err)
	}
	if n, tables, err := countOldRules(); n != 0 || err != nil || strings.Join(tables, " ") != "iptables-legacy filter" {
		t.Errorf("an empty table has %d rules, %q, %v", n, tables, err)
	}
	if got := firewall(t); got != firewallOff {
		t.Errorf("an empty table %s", got)
	}
	if err := replaceFilter(true); err != nil {
		t.Fatal(err)
	}
	if got := firewall(t); got != firewallOn {
		t.Errorf("a table with a rule %s", got)
	}
	if err := replaceFilter(false); err != nil {
		t.Fatal(err)
	}
	if got := firewall(t); got != firewallOff {
		t.Errorf("after the rule was taken away, it %s", got)
	}
}

// TestOldFirewallUnknown has old tables in a network of which the kernel tells how many rules there are to
// its administrator only.
func TestOldFirewallUnknown(t *testing.T) {
	namespace(t)
	if _, err := countTable(unix.AF_INET, unix.IPPROTO_IP, 64, "filter"); err != nil {
		t.Skipf("the kernel has no old tables: %v", err)
	}
	// The list of tables can be read by root; to count rules takes the right to change them.
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&head, &data[0]); err != nil {
		t.Fatal(err)
	}
	got := firewall(t)
	if !strings.HasPrefix(got, "not known: the rules of iptables-legacy filter can't be counted: ") {
		t.Errorf("it %s", got)
	}
	if worse(Firewall, Changed, "packet filter", firewallOn, got) {
		t.Error("what is not known is no evidence")
	}
}

// TestNewFirewall makes a rule with Debian's nft, where that is installed.
func TestNewFirewall(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip(err)
	}
	namespace(t)
	if out, err := exec.Command(nft, "add table inet t; add chain inet t c; add rule inet t c drop").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := firewall(t); got != firewallOn {
		t.Errorf("a table with a rule %s", got)
	}
}

// replaceFilter fills the filter table as iptables-legacy does: three chains that accept, the end, and in
// front of them a rule that drops what comes in.
func replaceFilter(rule bool) error {
	const entry, standard, fault = 112, 40, 64 // sizes of the kernel's structs
	le := binary.NativeEndian
	var blob []byte
	add := func(target int, verdict int32) uint32 {
		at := len(blob)
		blob = append(blob, make([]byte, entry+target)...)
		e := blob[at:]
		le.PutUint16(e[88:], entry)
		le.PutUint16(e[90:], uint16(entry+target))
		le.PutUint16(e[entry:], uint16(target))
		if target == fault {
			copy(e[entry+2:], "ERROR")
			copy(e[entry+32:], "ERROR")
		} else {
			le.PutUint32(e[entry+32:], uint32(verdict))
		}
		return uint32(at)
	}
	const accept, drop = -2, -1
	entries := uint32(4)
	input := uint32(0)
	if rule {
		entries++
		add(standard, drop)
	}
	under := [5]uint32{1: add(standard, accept), 2: add(standard, accept), 3: add(standard, accept)}
	hooks := under
	hooks[1] = input
	add(fault, 0)

	var before tableInfo
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	copy(before.name[:], "filter")
	size := uint32(unsafe.Sizeof(before))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, 64, uintptr(unsafe.Pointer(&before)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return errno
	}
	counters := make([]byte, 16*before.entries)
	head := make([]byte, 96)
	copy(head, "filter")
	le.PutUint32(head[32:], 1<<1|1<<2|1<<3)
	le.PutUint32(head[36:], entries)
	le.PutUint32(head[40:], uint32(len(blob)))
	for i := range hooks {
		le.PutUint32(head[44+4*i:], hooks[i])
		le.PutUint32(head[64+4*i:], under[i])
	}
	le.PutUint32(head[84:], before.entries)
	le.PutUint64(head[88:], uint64(uintptr(unsafe.Pointer(&counters[0]))))
	err = unix.SetsockoptString(fd, unix.IPPROTO_IP, 64, string(append(head, blob...)))
	runtime.KeepAlive(counters)
	if errors.Is(err, unix.EINVAL) {
		return errors.New("the kernel does not take the table that the test made")
	}
	return err
}
