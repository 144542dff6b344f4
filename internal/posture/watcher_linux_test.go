package posture

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monban/monban/internal/host"
)

const edKey = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

// tree is a host's root directory, made of files.
type tree struct {
	t    *testing.T
	root string
}

func (f tree) write(path, text string) {
	f.t.Helper()
	full := filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f tree) link(to, path string) {
	f.t.Helper()
	full := filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink(to, full); err != nil {
		f.t.Fatal(err)
	}
}

func (f tree) chmod(path string, mode uint32) {
	f.t.Helper()
	m := os.FileMode(mode & 0o777)
	if mode&0o4000 != 0 {
		m |= os.ModeSetuid
	}
	if err := os.Chmod(filepath.Join(f.root, path), m); err != nil {
		f.t.Fatal(err)
	}
}

const tcpHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// plant is a small host.
func plant(t *testing.T) tree {
	f := tree{t, t.TempDir()}
	f.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/sh\n")
	f.write("etc/group", "sudo:x:27:ada\ndisk:x:6:\n")
	f.write("etc/sudoers", "# nobody\nroot ALL=(ALL:ALL) ALL\n#includedir /etc/sudoers.d\n")
	f.write("etc/ssh/sshd_config", "PermitRootLogin no\n")
	f.write("home/ada/.ssh/authorized_keys", "ssh-ed25519 "+edKey+" ada@laptop\n")
	f.write("etc/systemd/system/plc.service", "[Service]\n")
	f.write("opt/tool", "#!/bin/sh\n")
	f.write("proc/modules", "ext4 1000 1 - Live 0x0\n")
	f.write("proc/1/mountinfo", "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
	f.write("proc/1/net/tcp", tcpHead+"   0: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 5001 1\n")
	f.write("proc/1/comm", "init\n")
	f.write("proc/stat", "cpu 0\n")
	f.write("proc/700/comm", "sshd\n")
	f.link("/usr/sbin/sshd", "proc/700/exe")
	f.link("socket:[5001]", "proc/700/fd/3")
	f.write("sys/devices/pci0/ata1/block/sda/sda1/partition", "1\n")
	f.link("../../devices/pci0/ata1/block/sda/sda1", "sys/dev/block/8:1")
	f.write("var/log/auth.log", "old: sshd[1]: Failed password for root from 10.9.9.9 port 1 ssh2\n")
	f.write("var/lib/update-notifier/updates-available", "\n0 updates can be applied immediately.\n")
	return f
}

// watch makes a watcher of the tree, which walks the disk at each look.
func (f tree) watch(files ...string) *Watcher {
	f.t.Helper()
	cfg := NewDefaultConfig()
	cfg.Device = "02:00:00:00:00:01"
	if files != nil {
		cfg.Files = files
	}
	w, err := New(host.New(f.root), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(w.Close)
	w.begun = true // nothing has to settle
	return w
}

// look has everything due, and walks.
func look(t *testing.T, w *Watcher, now time.Time) []Record {
	t.Helper()
	found, err := w.scanSetUID(context.Background(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	w.walk.found = found
	for _, p := range w.probes {
		p.due = time.Time{}
	}
	return w.Look(now)
}

func text(records []Record) (out []string) {
	for _, r := range records {
		s := fmt.Sprintf("%s %s %s: %q → %q %s", r.Kind, r.Change, r.Subject, r.Was, r.Is, r.Severity)
		if len(r.Anomaly.Reasons) > 0 {
			s += " " + r.Anomaly.Reasons[0].Kind
		}
		if r.While {
			s += " while stopped"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func expect(t *testing.T, got []Record, want ...string) {
	t.Helper()
	slices.Sort(want)
	if g := text(got); !slices.Equal(g, want) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(g, "\n"), strings.Join(want, "\n"))
	}
}

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// TestChanges makes every change that can be made in files.
func TestChanges(t *testing.T) {
	f := plant(t)
	w := f.watch("/etc/ssh/*", "/etc/passwd")
	first := look(t, w, t0)
	for _, r := range first {
		if r.Change != Present || r.Severity != Info || len(r.Anomaly.Reasons) > 0 || r.Why == "" || r.Device == "" {
			t.Errorf("the first look tells how it is: %+v", r)
		}
	}
	if len(first) < 12 {
		t.Errorf("only %d facts: %s", len(first), strings.Join(text(first), "\n"))
	}
	expect(t, look(t, w, t0.Add(time.Minute))) // a look at what is the same tells nothing

	f.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/sh\nghost:x:0:0::/:/bin/sh\n")
	f.write("etc/group", "sudo:x:27:ghost,ada\ndisk:x:6:\n")
	f.write("etc/sudoers.d/x", "ghost   ALL=(ALL) \\\n NOPASSWD: ALL\n")
	f.write("home/ada/.ssh/authorized_keys", "ssh-ed25519 "+edKey+" ada@laptop\ncommand=\"x\" ssh-rsa AAAA me\n")
	f.chmod("etc/systemd/system/plc.service", 0o666)
	f.chmod("opt/tool", 0o4755)
	f.write("proc/modules", "ext4 1000 1 - Live 0x0\nrootkit 1 0 - Live 0x0 (OE)\n")
	f.write("proc/1/net/tcp", tcpHead+"   0: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 5001 1\n   1: 00000000:115C 00000000:0000 0A 0:0 0:0 0 0 0 5002 1\n   2: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 5001 1\n")
	f.link("/tmp/x (deleted)", "proc/701/exe")
	f.link("socket:[5002]", "proc/701/fd/3")
	f.write("proc/1/mountinfo", "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n23 1 8:17 / /media/my\\040stick rw - vfat /dev/sdb1 rw\n")
	f.write("sys/devices/pci0/usb1/1-1/block/sdb/sdb1/partition", "1\n")
	f.write("sys/devices/pci0/usb1/1-1/block/sdb/device/vendor", "ACME  \n")
	f.write("sys/devices/pci0/usb1/1-1/block/sdb/device/model", "Stick\n")
	f.link("../../devices/pci0/usb1/1-1/block/sdb/sdb1", "sys/dev/block/8:17")
	f.write("etc/ssh/sshd_config", "PermitRootLogin yes\n")
	f.write("var/lib/update-notifier/updates-available", "\n12 updates can be applied immediately.\n3 of these updates are standard security updates.\n")
	owner := host.New(f.root).Users().Name(uint32(os.Getuid()))
	var changes []Record
	for _, r := range look(t, w, t0.Add(2*time.Minute)) {
		if r.Kind == File { // digests are tested below
			if r.Change != Changed || r.Anomaly.Reasons[0].Kind != "host_file" || r.Was == r.Is {
				t.Errorf("%+v", r)
			}
			continue
		}
		changes = append(changes, r)
	}
	expect(t, changes,
		`user added ghost: "" → "uid 0, gid 0, home /, shell /bin/sh" error host_user`,
		`group changed sudo: "gid 27, members ada" → "gid 27, members ada,ghost" warn host_group`,
		`sudoers added /etc/sudoers.d/x: ghost ALL=(ALL) NOPASSWD: ALL: "" → "in force" error host_sudoers`,
		`ssh_key added ada: ssh-rsa SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw: "" → "me command=\"x\"" error host_ssh_key`,
		`unit added /etc/systemd/system/plc.service: "" → "mode 0666" error host_unit`,
		`setuid added /opt/tool: "" → "mode 4755, owner `+owner+`, 10 bytes" error host_setuid`,
		`module added rootkit: "" → "loaded, not of this kernel or not signed" warn host_module`,
		`listener added tcp 0.0.0.0 4444: "" → "/tmp/x" warn host_listener`,
		`listener added tcp 127.0.0.1 8080: "" → "/usr/sbin/sshd" info`,
		`usb_storage added /dev/sdb1 on /media/my stick: "" → "vfat ACME Stick" warn host_usb_storage`,
		`updates changed packages: "none pending" → "12 pending" info`,
	)

	// All goes back, which is good news, and comes again, as a service that starts anew does.
	f.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/sh\n")
	f.write("proc/modules", "ext4 1000 1 - Live 0x0\n")
	f.write("proc/1/net/tcp", tcpHead)
	for _, r := range look(t, w, t0.Add(3*time.Minute)) {
		if r.Kind != File && (r.Change != Removed || r.Severity != Info || len(r.Anomaly.Reasons) > 0) {
			t.Errorf("%s", text([]Record{r}))
		}
	}
	f.write("proc/modules", "ext4 1000 1 - Live 0x0\nrootkit 1 0 - Live 0x0 (OE)\n")
	f.write("proc/1/net/tcp", tcpHead+"   0: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 5001 1\n")
	expect(t, look(t, w, t0.Add(4*time.Minute)),
		`listener added tcp 0.0.0.0 22: "" → "/usr/sbin/sshd" info`,
		`module added rootkit: "" → "loaded, not of this kernel or not signed" info`)
	if w.Faults.Count(host.Malformed) != 0 || w.Dropped != 0 {
		t.Errorf("%d faults, %d dropped", w.Faults.Count(host.Malformed), w.Dropped)
	}
}

// TestRestart holds that a restart is no flood, and that what changed meanwhile is told.
func TestRestart(t *testing.T) {
	f := plant(t)
	w := f.watch()
	look(t, w, t0)
	state, err := w.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(state), edKey) {
		t.Error("a key is in the state")
	}
	f.write("etc/group", "sudo:x:27:ada,eve\ndisk:x:6:\n")
	w2 := f.watch()
	if _, err := w2.Restore(state); err != nil {
		t.Fatal(err)
	}
	for _, r := range look(t, w2, t0.Add(time.Hour)) {
		if !r.While || r.Change == Present {
			t.Errorf("%s", text([]Record{r}))
		}
		if r.Kind == Group && (r.Is != "gid 27, members ada,eve" || !strings.Contains(r.Anomaly.Reasons[0].Seen, "while Monban did not run")) {
			t.Errorf("%+v", r)
		}
	}
	expect(t, look(t, w2, t0.Add(2*time.Hour)))
	if all := look(t, w2, t0.Add(25*time.Hour)); len(all) < 12 || all[0].Change != Present {
		t.Errorf("the list of the day: %d", len(all))
	}
	for _, bad := range []string{"", "{}", `{"Version":1,"Known":{"nonsense":{}}}`, `{"Version":1,"Known":{"user":{"` + strings.Repeat("a", 2000) + `":""}}}`,
		`{"Version":1,"Waiting":[{"Kind":"nonsense"}]}`, `{"Version":1,"Waiting":[{"Kind":"user","Is":"` + strings.Repeat("a", 20_000) + `"}]}`,
		`{"Version":1,"Waiting":[{"Kind":"user","Anomaly":{"Score":2}}]}`, `{"Version":1,"Waiting":[` + strings.Repeat(`{"Kind":"user"},`, MaxWaiting) + `{"Kind":"user"}]}`} {
		if _, err := f.watch().Restore([]byte(bad)); err == nil {
			t.Errorf("restored from %.40q", bad)
		}
	}
}

// TestWaiting holds that events which nobody took yet come back as they were.
func TestWaiting(t *testing.T) {
	f := plant(t)
	w := f.watch()
	look(t, w, t0)
	f.write("etc/group", "sudo:x:27:ada,eve\ndisk:x:6:\n")
	for range w.cfg.LoginFailures {
		w.login.line("Nov  1 12:00:00 box sshd[9]: Failed password for root from 10.0.0.66 port 40000 ssh2")
	}
	told := look(t, w, t0.Add(time.Minute))
	if len(told) != 2 {
		t.Fatalf("told %q", text(told))
	}
	state, err := w.Snapshot(told)
	if err != nil {
		t.Fatal(err)
	}
	w2 := f.watch()
	waiting, err := w2.Restore(state)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(waiting, told) {
		t.Errorf("%+v\ncame back as\n%+v", told, waiting)
	}
	expect(t, look(t, w2, t0.Add(time.Hour))) // and is not told twice
}

// TestUnreadable holds that what can't be read has not changed.
func TestUnreadable(t *testing.T) {
	f := plant(t)
	w := f.watch()
	look(t, w, t0)
	for _, file := range []string{"etc/passwd", "proc/1/mountinfo"} {
		if err := os.Remove(filepath.Join(f.root, file)); err != nil {
			t.Fatal(err)
		}
	}
	got := look2(w, t0.Add(time.Minute))
	for _, r := range got {
		if r.Kind != File { // the file is watched, and is gone
			t.Errorf("%s", text([]Record{r}))
		}
	}
	if w.Faults.Count(host.Vanished) == 0 {
		t.Error("nothing was counted")
	}
}

// TestUnreadableKeys has one user's keys unreadable, as they are without root: those stay, and others' are watched.
func TestUnreadableKeys(t *testing.T) {
	f := plant(t)
	w := f.watch()
	look(t, w, t0)
	ada := filepath.Join(f.root, "home/ada/.ssh/authorized_keys")
	if err := os.Remove(ada); err != nil {
		t.Fatal(err)
	}
	f.write("home/ada/.ssh/authorized_keys/x", "a directory is no list of keys")
	f.write("root/.ssh/authorized_keys", "ssh-rsa AAAA eve\n")
	expect(t, look2(w, t0.Add(time.Minute)), `ssh_key added root: ssh-rsa SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw: "" → "eve" error host_ssh_key`)
	if w.Faults.Count(host.Malformed) == 0 {
		t.Error("nothing was counted")
	}
}

func look2(w *Watcher, now time.Time) []Record {
	for _, p := range w.probes {
		p.due = time.Time{}
	}
	return w.Look(now)
}

// TestBounds feeds more than there may be.
func TestBounds(t *testing.T) {
	f := plant(t)
	w := f.watch()
	look(t, w, t0)
	var many strings.Builder
	for i := range maxFacts + 100 {
		fmt.Fprintf(&many, "g%05d:x:%d:\n", i, i)
	}
	f.write("etc/group", many.String())
	got := look(t, w, t0.Add(time.Minute))
	n := 0
	for _, r := range got {
		if r.Kind == Group {
			n++
		}
	}
	if n != maxChanges || w.Dropped == 0 || w.Facts() > 2*maxFacts {
		t.Errorf("%d told, %d dropped, %d facts", n, w.Dropped, w.Facts())
	}
}

// TestNotify waits for the kernel to tell of a change, where no look would be due for minutes.
func TestNotify(t *testing.T) {
	f := plant(t)
	w := f.watch()
	look(t, w, t0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.Run(ctx)
	now := t0.Add(time.Second)
	deadline := time.After(30 * time.Second)
	f.write("etc/group", "sudo:x:27:ada,eve\n")
	for {
		select {
		case <-w.Wake():
		case <-deadline:
			t.Fatal("nothing was told")
		}
		if slices.ContainsFunc(w.Look(now), func(r Record) bool { return r.Kind == Group && r.Change == Changed }) {
			return
		}
	}
}

// TestLogins follows a log that is moved away and begun anew.
func TestLogins(t *testing.T) {
	f := plant(t)
	path := filepath.Join(f.root, "var/log/auth.log")
	w := f.watch()
	tl := &tail{path: path}
	tl.skip()
	add := func(lines ...string) {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, strings.Join(lines, "")); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	read := func() {
		if err := tl.read(w.login.line); err != nil {
			t.Fatal(err)
		}
	}
	now := t0
	w.login.now = func() time.Time { return now }
	const bad = "Nov  1 12:00:00 box sshd[9]: Failed password for invalid user admin from 10.0.0.66 port 40000 ssh2\n"
	add(bad, bad, bad[:30])
	read()
	add(bad[30:], "Nov  1 12:00:01 box sshd[9]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.66  user=root\n")
	read()
	if got := w.failures(now); len(got) != 0 {
		t.Errorf("three failures are few: %v", text(got))
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add("Nov  1 12:00:02 box sshd[9]: message repeated 4 times: [ Failed password for root from 10.0.0.66 port 40001 ssh2]\n")
	read()
	read()
	expect(t, w.failures(now), `login failed 10.0.0.66: "" → "as admin, root" error host_login`)
	expect(t, w.failures(now)) // once
	add("Nov  1 12:00:03 box su[9]: pam_unix(su:auth): authentication failure; logname=ada uid=1000 euid=0 tty=pts/0 ruser=ada rhost=  user=root\n")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	read()
	add(strings.Repeat(bad, 2))
	read()
	now = now.Add(2 * time.Minute)
	got := w.failures(now)
	expect(t, got, `login failed 10.0.0.66: "" → "as admin, root" error host_login`)
	if len(got) == 1 && got[0].Count != 9 {
		t.Errorf("%d failures counted", got[0].Count)
	}
	now = now.Add(time.Hour)
	w.failures(now)
	if len(w.login.by) != 0 {
		t.Error("who stays away is forgotten")
	}
	tl.close()
}

// TestThisHost opens a port on the computer that the test runs on.
func TestThisHost(t *testing.T) {
	cfg := NewDefaultConfig()
	cfg.Device = "02:00:00:00:00:01"
	cfg.Off = []Kind{SetUID}
	w, err := New(host.New(""), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.begun = true
	look2(w, t0)
	var l net.Listener
	for port := 20000; port < 20100; port++ { // not one of those that the system gives out
		if l, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("tcp 0.0.0.0 %d", l.Addr().(*net.TCPAddr).Port)
	for _, r := range look2(w, t0.Add(time.Minute)) {
		if r.Kind == Listener && r.Subject == want {
			if r.Change != Added || r.Is != self || r.Anomaly.Score == 0 {
				t.Errorf("%+v", r)
			}
			return
		}
	}
	t.Errorf("%s was not told", want)
}

// BenchmarkWalk walks the disks of the computer that the test runs on, without rest.
func BenchmarkWalk(b *testing.B) {
	w, err := New(host.New(""), NewDefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	for b.Loop() {
		if _, err := w.scanSetUID(context.Background(), func() {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLook(b *testing.B) {
	cfg := NewDefaultConfig()
	cfg.Off = []Kind{SetUID}
	w, err := New(host.New(""), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	look2(w, t0)
	for _, p := range w.probes {
		b.Run(string(p.kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.read(); err != nil {
					b.Skip(err)
				}
			}
		})
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/bash\nsudo:x:27:ada,bob\n"))
	f.Add([]byte("ada ALL=(ALL) NOPASSWD: \\\n ALL\n#include x\n"))
	f.Add([]byte("command=\"x\" ssh-ed25519 " + edKey + " me\n"))
	f.Add([]byte(tcpHead + "   0: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 5001 1\n"))
	f.Add([]byte("22 1 8:1 / /a\\040b rw,relatime shared:1 - ext4 /dev/sda1 rw\n"))
	f.Add([]byte("x sshd[9]: message repeated 4 times: [ Failed password for root from 10.0.0.66 port 40001 ssh2]\n"))
	f.Add([]byte(`{"Version":1,"Known":{"user":{"a":"b"}}}`))
	f.Add([]byte(`{"Version":1,"Waiting":[{"Time":1,"Kind":"login","Change":"failed","Count":5,"Anomaly":{"Score":0.9,"Reasons":[{"Kind":"host_login"}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		accountFacts(parseAccounts(data))
		parseGroups(data)
		parseSudoers(data)
		for key := range parseKeys(data) {
			if !strings.Contains(key, " SHA256:") {
				t.Errorf("key %q", key)
			}
		}
		for _, l := range append(parseListening(data, "tcp"), parseListening(data, "udp")...) {
			if !l.addr.Addr().IsValid() {
				t.Errorf("%+v", l)
			}
		}
		eachEntry(data, func(name []byte, _ byte) {
			if len(name) == 0 || len(name) > len(data) {
				t.Errorf("a name of %d bytes", len(name))
			}
		})
		parseModules(data)
		parseMounts(data)
		if fl, ok := parseFailure(string(data)); ok && (fl.n == 0 || len(fl.from) > 3*maxText) {
			t.Errorf("%+v", fl)
		}
		w := &Watcher{known: map[Kind]facts{}, restored: map[Kind]bool{}}
		if waiting, err := w.Restore(data); err == nil {
			if _, err := w.Snapshot(waiting); err != nil || len(waiting) > MaxWaiting {
				t.Errorf("%d events wait: %v", len(waiting), err)
			}
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "log"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		tl, lines := &tail{path: filepath.Join(dir, "log")}, 0
		if err := tl.read(func(s string) {
			if lines++; len(s) > maxLine+16<<10 {
				t.Errorf("a line of %d bytes", len(s))
			}
		}); err != nil {
			t.Fatal(err)
		}
		tl.close()
		if want := strings.Count(string(data), "\n"); lines != want {
			t.Errorf("%d lines, want %d", lines, want)
		}
	})
}

// Whoever has an account may put what he likes in the place of his keys, and choose his name.
func TestWhatUsersCanDo(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "authorized_keys")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := readList(pipe)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a pipe is no list")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a pipe in the place of a file holds us up")
	}
	for _, line := range []string{
		"x sshd[1]: Failed password for invalid user a b from 203.0.113.5 port 4444 ssh2",
		"x sshd[1]: Failed password for invalid user x from 10.0.0.9 port 1 from 203.0.113.5 port 4444 ssh2",
	} {
		if f, ok := parseFailure(line); !ok || f.from != "203.0.113.5" {
			t.Errorf("%s: %v %+v", line, ok, f)
		}
	}
	for _, c := range []struct {
		was, is string
		worse   bool
	}{
		{"gid 27, members bartholomew", "gid 27, members eve", true},
		{"gid 1000, members eve", "gid 0, members eve", true},
		{"gid 27, members ada,eve", "gid 27, members ada", false},
		{"gid 27, members ada", "gid 27", false},
		{"gid 27", "gid 27, members eve", true},
	} {
		if got := worse(Group, Changed, "sudo", c.was, c.is); got != c.worse {
			t.Errorf("%s, then %s: %v", c.was, c.is, got)
		}
	}
	long := strings.Repeat("member,", 200)
	if a, b := short(long+"x"), short(long+"y"); a == b || len(a) > maxText {
		t.Errorf("what is cut off is not told apart, or %d bytes", len(a))
	}
}
