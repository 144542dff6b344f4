package posture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// open sets up what is looked at.
func (w *Watcher) open() error {
	w.notify = newNotifier()
	w.walk = &walker{every: w.cfg.WalkEvery, scan: w.scanSetUID, done: func() { w.notify.touch(SetUID) }}
	w.login = &logins{cfg: w.cfg, local: w.host.Local(), faults: &w.Faults, poll: tailEvery, by: map[string]*source{}, now: time.Now,
		touch: func() { w.notify.touch(Login) }}
	for _, p := range w.cfg.AuthLogs {
		w.login.paths = append(w.login.paths, w.host.Path(p))
	}
	etc := w.host.Path("/etc")
	var units []string
	for _, d := range unitDirs {
		units = append(units, w.host.Path(d))
	}
	w.probes = []*probe{
		{kind: User, every: 5 * time.Minute, read: w.readUsers, paths: []string{etc}},
		{kind: Group, every: 5 * time.Minute, read: w.readGroups, paths: []string{etc}},
		{kind: Sudoers, every: 5 * time.Minute, read: w.readSudoers, paths: []string{etc, etc + "/sudoers.d"}},
		{kind: SSHKey, every: time.Minute, read: w.readKeys},
		{kind: File, every: 10 * time.Minute, read: w.readFiles},
		{kind: Unit, every: time.Hour, read: w.readUnits, paths: units},
		{kind: Listener, every: 30 * time.Second, read: w.readListeners, settle: 10 * time.Second},
		{kind: Module, every: 30 * time.Second, read: w.readModules},
		{kind: USBStorage, every: 15 * time.Second, read: w.readUSB},
		{kind: Updates, every: time.Hour, read: w.readUpdates},
		{kind: Encryption, every: time.Hour, read: w.readEncryption},
		{kind: SetUID, every: w.cfg.WalkEvery, read: w.walk.read},
	}
	if w.host.Local() { // the kernel tells them of the name space that we are in
		w.probes = append(w.probes,
			&probe{kind: Time, every: time.Minute, read: readClock},
			&probe{kind: Firewall, every: time.Minute, read: readFirewall})
	}
	return nil
}

// listening is a socket that waits for others.
type listening struct {
	proto string
	addr  netip.AddrPort
	inode uint64
}

// parseListening reads /proc/net/tcp and the like.
func parseListening(data []byte, proto string) (out []listening) {
	for line := range bytes.Lines(data) {
		f := bytes.Fields(line)
		if len(f) < 10 || len(out) >= maxFacts {
			continue
		}
		tcp := proto == "tcp"
		if state := string(f[3]); tcp && state != "0A" || !tcp && state != "07" {
			continue
		}
		addr, ok := parseSocket(string(f[1]))
		inode, err := strconv.ParseUint(string(f[9]), 10, 64)
		if !ok || err != nil {
			continue
		}
		out = append(out, listening{proto, addr, inode})
	}
	return out
}

// parseSocket reads an address as /proc has it: words of four bytes in the machine's order, and the port.
func parseSocket(s string) (a netip.AddrPort, ok bool) {
	host, port, found := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, herr := hex.DecodeString(host)
	if !found || err != nil || herr != nil || len(raw) != 4 && len(raw) != 16 {
		return a, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

func (w *Watcher) first(file string) string {
	if w.host.Local() {
		return "/proc/self/" + file
	}
	return w.host.Path("/proc/1/" + file)
}

// readListeners lists sockets that wait for others, with their programs. A port that the
// system gave out is told as such, as it is another after each start.
func (w *Watcher) readListeners() (facts, error) {
	var all []listening
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		data, err := readProc(w.first("net/" + file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading listening sockets: %w", err)
		}
		all = append(all, parseListening(data, strings.TrimSuffix(file, "6"))...)
	}
	low, high := w.ephemeral()
	w.findPrograms(all)
	out := facts{}
	for _, l := range all {
		program := w.programs[l.inode]
		port := strconv.Itoa(int(l.addr.Port()))
		if l.addr.Port() >= low && l.addr.Port() <= high {
			if l.proto == "udp" { // one that waits for an answer looks the same
				continue
			}
			port = "any port of " + filepath.Base(program)
		}
		out[l.proto+" "+l.addr.Addr().String()+" "+port] = program
	}
	return out, nil
}

// ephemeral is the range of ports that the system gives out.
func (w *Watcher) ephemeral() (low, high uint16) {
	data, err := os.ReadFile(w.host.Path("/proc/sys/net/ipv4/ip_local_port_range"))
	f := strings.Fields(string(data))
	if err != nil || len(f) != 2 {
		return 32768, 60999
	}
	a, aerr := strconv.ParseUint(f[0], 10, 16)
	b, berr := strconv.ParseUint(f[1], 10, 16)
	if aerr != nil || berr != nil || a > b {
		return 32768, 60999
	}
	return uint16(a), uint16(b)
}

const unknownProgram = "unknown program"

// findPrograms looks for whose the sockets are, only when there is one that was not there before.
func (w *Watcher) findPrograms(all []listening) {
	want := map[uint64]bool{}
	missing := false
	for _, l := range all {
		want[l.inode] = true
		missing = missing || w.programs[l.inode] == ""
	}
	for inode := range w.programs {
		if !want[inode] {
			delete(w.programs, inode)
		}
	}
	if !missing {
		return
	}
	pids, err := filepath.Glob(w.host.Path("/proc/[0-9]*"))
	if err != nil {
		return
	}
	for _, dir := range pids {
		entries, err := os.ReadDir(dir + "/fd")
		if err != nil {
			w.Faults.Note(err)
			continue
		}
		for _, e := range entries {
			to, err := os.Readlink(dir + "/fd/" + e.Name())
			if err != nil || !strings.HasPrefix(to, "socket:[") {
				continue
			}
			inode, err := strconv.ParseUint(strings.Trim(to[len("socket:"):], "[]"), 10, 64)
			if err == nil && want[inode] && (w.programs[inode] == "" || w.programs[inode] == unknownProgram) {
				w.programs[inode] = programOf(dir)
			}
		}
	}
	for inode := range want {
		if w.programs[inode] == "" {
			w.programs[inode] = unknownProgram // of the kernel, or not ours to see
		}
	}
}

func programOf(dir string) string {
	if exe, err := os.Readlink(dir + "/exe"); err == nil {
		return strings.TrimSuffix(exe, " (deleted)")
	}
	if comm, err := os.ReadFile(dir + "/comm"); err == nil {
		return strings.TrimSpace(string(comm))
	}
	return unknownProgram
}

// parseModules reads /proc/modules: the name of each.
func parseModules(data []byte) facts {
	out := facts{}
	for line := range bytes.Lines(data) {
		if f := bytes.Fields(line); len(f) >= 3 && len(out) < maxFacts {
			out[string(f[0])] = "loaded"
			if bytes.Contains(line, []byte("(")) { // taints: (O) from elsewhere, (E) not signed
				out[string(f[0])] = "loaded, not of this kernel or not signed"
			}
		}
	}
	return out
}

func (w *Watcher) readModules() (facts, error) {
	data, err := readProc(w.host.Path("/proc/modules"))
	if errors.Is(err, os.ErrNotExist) {
		return facts{}, nil // a kernel without modules
	}
	return parseModules(data), err
}

// mount is a file system in its place.
type mount struct {
	device  string // "8:1"
	point   string
	options []string
	kind    string
	source  string
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

func unescape(s string) string {
	return octal.ReplaceAllStringFunc(s, func(e string) string {
		n, err := strconv.ParseUint(e[1:], 8, 8)
		if err != nil {
			return e
		}
		return string([]byte{byte(n)})
	})
}

// parseMounts reads /proc/PID/mountinfo.
func parseMounts(data []byte) (out []mount) {
	for line := range bytes.Lines(data) {
		left, right, ok := strings.Cut(strings.TrimSpace(string(line)), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 || len(out) >= maxFacts {
			continue
		}
		out = append(out, mount{device: l[2], point: unescape(l[4]), options: strings.Split(l[5], ","), kind: r[0], source: unescape(r[1])})
	}
	return out
}

func (w *Watcher) mounts() ([]mount, error) {
	data, err := readProc(w.first("mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("reading mounts: %w", err)
	}
	return parseMounts(data), nil
}

// block is where the kernel tells of a block device.
func (w *Watcher) block(device string) (string, error) {
	return filepath.EvalSymlinks(w.host.Path("/sys/dev/block/" + device))
}

// readUSB lists what is mounted of storage on USB.
func (w *Watcher) readUSB() (facts, error) {
	all, err := w.mounts()
	if err != nil {
		return nil, err
	}
	out := facts{}
	for _, m := range all {
		dir, err := w.block(m.device)
		if err != nil || !strings.Contains(dir, "/usb") {
			continue
		}
		out[m.source+" on "+m.point] = strings.TrimSpace(m.kind + " " + model(dir))
	}
	return out, nil
}

// model is what a disk is called, by the device above a partition too.
func model(dir string) string {
	for range 4 {
		vendor, verr := os.ReadFile(dir + "/device/vendor")
		name, err := os.ReadFile(dir + "/device/model")
		if verr == nil && err == nil {
			return strings.Join(strings.Fields(string(vendor)+" "+string(name)), " ")
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// readEncryption tells of the disks that the system is on.
func (w *Watcher) readEncryption() (facts, error) {
	all, err := w.mounts()
	if err != nil {
		return nil, err
	}
	out := facts{}
	for _, m := range all {
		if !slices.Contains([]string{"/", "/home", "/var", "/etc", "/srv"}, m.point) {
			continue
		}
		dir, err := w.block(m.device)
		if err != nil { // not on a disk of its own
			continue
		}
		out[m.point] = notEncrypted
		if isEncrypted(dir, 0) {
			out[m.point] = encrypted
		}
	}
	return out, nil
}

// isEncrypted looks down from a volume to what it is made of.
func isEncrypted(dir string, depth int) bool {
	if id, err := os.ReadFile(dir + "/dm/uuid"); err == nil && bytes.HasPrefix(id, []byte("CRYPT-")) {
		return true
	}
	below, err := os.ReadDir(dir + "/slaves")
	if err != nil || len(below) == 0 || depth > 8 {
		return false
	}
	for _, b := range below { // all of them must be
		if real, err := filepath.EvalSymlinks(dir + "/slaves/" + b.Name()); err != nil || !isEncrypted(real, depth+1) {
			return false
		}
	}
	return true
}

var pending = regexp.MustCompile(`(?m)^\s*(\d{1,6}) .*(?:updates?|packages?) can be (?:applied|updated|installed)`)

// readUpdates tells what the system's own updater found.
func (w *Watcher) readUpdates() (facts, error) {
	out := facts{}
	data, err := readList(w.host.Path("/var/lib/update-notifier/updates-available"))
	if err == nil {
		out["packages"] = "none pending"
		if m := pending.FindSubmatch(data); m != nil && string(m[1]) != "0" {
			out["packages"] = string(m[1]) + " pending"
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, file := range []string{"/run/reboot-required", "/var/run/reboot-required"} {
		if _, err := os.Stat(w.host.Path(file)); err == nil {
			out["restart"] = "needed for updates to count"
			break
		}
	}
	return out, nil
}

// readClock asks the kernel whether its clock follows another.
func readClock() (facts, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return nil, fmt.Errorf("asking for the state of the clock: %w", err)
	}
	if state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0 {
		return facts{"clock": notSynchronised}, nil
	}
	return facts{"clock": synchronised}, nil
}

// readProc reads a file of /proc, which tells no size, up to a bound.
func readProc(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4*maxListFile))
	if err == nil && len(data) == 4*maxListFile {
		err = fmt.Errorf("%s is longer than %d MiB", path, 4*maxListFile>>20)
	}
	return data, err
}
