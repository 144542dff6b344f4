package host

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStat(t *testing.T) {
	const rest = " S 1 9 9 0 -1 4194560 10 20 3 40 50 60 6 7 20 0 5 0 12345 1000000 250 18446744073709551615 1"
	for _, c := range []struct {
		name, line string
		want       Process
		err        string
	}{
		{"usual", "9 (sshd)" + rest, Process{PID: 9, Parent: 1, Name: "sshd", State: 'S', MinorFaults: 10, MajorFaults: 3, User: .5, System: .6,
			Threads: 5, Start: 123450 * time.Millisecond, Virtual: 1000000, Resident: 250 * 4096}, ""},
		{"parentheses and spaces in the name", "9 (a) R 1 (b))" + rest, Process{PID: 9, Parent: 1, Name: "a) R 1 (b)", State: 'S', MinorFaults: 10, MajorFaults: 3,
			User: .5, System: .6, Threads: 5, Start: 123450 * time.Millisecond, Virtual: 1000000, Resident: 250 * 4096}, ""},
		{"waited for disks", "9 (sshd)" + rest + strings.Repeat(" 0", 15) + " 250 0 0", Process{PID: 9, Parent: 1, Name: "sshd", State: 'S', MinorFaults: 10, MajorFaults: 3,
			User: .5, System: .6, Waited: 2.5, Threads: 5, Start: 123450 * time.Millisecond, Virtual: 1000000, Resident: 250 * 4096}, ""},
		{"cut off", "9 (sshd) S 1 9", Process{PID: 9, Name: "sshd"}, "22 are the least"},
		{"no name", "9 sshd S", Process{}, "without a name"},
		{"empty", "", Process{}, "without a name"},
		{"not a number", "9 (x)" + strings.Replace(rest, " 50 ", " fifty ", 1), Process{}, `"fifty"`},
	} {
		got, err := parseStat([]byte(c.line), 4096)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
		if c.err == "" && got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range [][3]string{
		{"sshd", "/usr/sbin/sshd -D", "sshd"},
		{"systemd-journal", "/lib/systemd/systemd-journald", "systemd-journald"},
		{"systemd-journal", "other", "systemd-journal"},
		{"systemd-journal", "", "systemd-journal"},
	} {
		if got := wholeName(c[0], strings.Fields(c[1])); got != c[2] {
			t.Errorf("%q with %q is %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := parseArguments([]byte("a\x00\x00b\xff\x00\x00")); !slices.Equal(got, []string{"a", "", "b\uFFFD"}) {
		t.Errorf("arguments %q", got)
	}
	if got := parseArguments([]byte(strings.Repeat("a\x00", 1000))); len(got) != maxArguments {
		t.Errorf("%d arguments", len(got))
	}
	if got := parseArguments(nil); got != nil {
		t.Errorf("arguments of a thread of the kernel: %q", got)
	}
}

func TestFaultOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Fault
	}{
		{fs.ErrNotExist, Vanished}, {&os.PathError{Err: syscall.ESRCH}, Vanished}, {syscall.EACCES, Forbidden}, {&os.PathError{Err: syscall.EPERM}, Forbidden},
		{errors.New("x"), Malformed},
	} {
		var f Faults
		f.Note(c.err)
		f.Note(nil)
		if f.Count(c.want) != 1 || FaultOf(c.err) != c.want {
			t.Errorf("%v is %s", c.err, FaultNames[FaultOf(c.err)])
		}
	}
}

// TestVanish starts and ends processes while they are read: none of it may be an error,
// and what has gone is counted.
func TestVanish(t *testing.T) {
	h, done := New("/"), make(chan struct{})
	go func() {
		defer close(done)
		for range 60 {
			_ = exec.Command("true").Run()
		}
	}()
	var faults Faults
	users := h.Users()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		self := false
		err := h.Processes(&faults, func(p *Process) {
			self = self || int(p.PID) == os.Getpid()
			h.Detail(p, users, func(_ Part, err error) { faults.Note(err) })
			_, err := h.IO(p.PID)
			faults.Note(err)
			_, err = h.Status(p.PID)
			faults.Note(err)
			_, err = h.Descriptors(p.PID)
			faults.Note(err)
		})
		if err != nil || !self {
			t.Fatalf("own process seen: %v, %v", self, err)
		}
	}
	if n := faults.Count(Malformed); n != 0 {
		t.Errorf("%d of what was read makes no sense", n)
	}
	// One that is gone for sure.
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Skip(err)
	}
	before := faults.Count(Vanished)
	_, err := h.Status(int32(cmd.Process.Pid))
	faults.Note(err)
	if faults.Count(Vanished) != before+1 {
		t.Errorf("a process that has ended: %v", err)
	}
}

// TestConnections holds what the kernel's diagnosis counts against what its files list.
func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const listen = 9
	var states, listed [len(ConnectionStates)]int64
	var faults Faults
	for range 20 { // others on this computer listen and cease to meanwhile
		states, listed = [len(ConnectionStates)]int64{}, [len(ConnectionStates)]int64{}
		if err := diagnose(&states); err != nil {
			t.Skip(err)
		}
		for _, file := range []string{"tcp", "tcp6"} {
			if data, err := readWhole("/proc/self/net/" + file); err == nil {
				countStates(data, &listed, &faults)
			}
		}
		if states[listen] == listed[listen] {
			break
		}
	}
	if ConnectionStates[listen] != "listen" || states[listen] == 0 || states[listen] != listed[listen] || faults.Count(Malformed) != 0 {
		t.Errorf("%v by diagnosis, %v by files", states, listed)
	}
	c, err := New("").Connections(&faults)
	if err != nil || c.TCP[listen] == 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestIdentity(t *testing.T) {
	id := New("").Identity(context.Background())
	name, _ := os.Hostname()
	if id.Name != name || id.Arch == "" || id.OSType != "linux" || id.Description == "" {
		t.Errorf("%+v", id)
	}
}

func TestRoot(t *testing.T) {
	for given, want := range map[string]string{"": "/proc", "/": "/proc", "/hostfs/": "/hostfs/proc", "/a/../b": "/b/proc"} {
		if got := New(given).Path("/proc"); got != want {
			t.Errorf("%q: %s, want %s", given, got, want)
		}
	}
	if err := New(t.TempDir()).Check(); err == nil || !strings.Contains(err.Error(), "no root directory") {
		t.Error(err)
	}
	if err := New("").Check(); err != nil {
		t.Error(err)
	}
}

func TestUsers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	u := New(dir).Users()
	if got := u.Name(7); got != "7" {
		t.Errorf("without a list: %s", got)
	}
	file := filepath.Join(dir, "etc/passwd")
	if err := os.WriteFile(file, []byte("ada:x:7:7::/:/bin/sh\nshadow:x:7:7::/:\nbroken\nbob:x:-1:0::/:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.looked = time.Time{} // a minute later
	if got := u.Name(7); got != "ada" {
		t.Errorf("after a change: %s", got)
	}
}

// FuzzProc feeds all that reads files of /proc and /etc.
func FuzzProc(f *testing.F) {
	f.Add([]byte("9 (sshd) S 1 9 9 0 -1 4194560 10 20 3 40 50 60 6 7 20 0 5 0 12345 1000000 250 1 1"))
	f.Add([]byte("root:x:0:0:root:/root:/bin/bash\n"))
	f.Add([]byte("  sl  local_address\n   0: 0100007F:0019 00000000:0000 0A 0\n"))
	f.Add([]byte("pgfault 12\nread_bytes: 5\nSigQ:\t1/2\nvoluntary_ctxt_switches:\t3\n"))
	f.Add([]byte("0::/a\n1:cpu:/b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := parseStat(data, 4096); err == nil && (p.User < 0 || p.System < 0) {
			t.Errorf("%+v", p)
		}
		parseIO(data)
		parseStatus(data)
		parseCgroup(data)
		parsePaging(data)
		if n := len(parseArguments(data)); n > maxArguments {
			t.Errorf("%d arguments", n)
		}
		parseNames(data)
		var states [len(ConnectionStates)]int64
		var faults Faults
		countStates(data, &states, &faults)
		_, _ = countDiagnosis(data, &states)
	})
}
