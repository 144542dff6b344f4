package posture

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFollow(t *testing.T) {
	f := tree{t, t.TempDir()}
	f.write("srv/plc/1/x.conf", "a")
	f.link("/srv/plc", "opt/plc")
	f.link("1", "srv/plc/now")
	f.link("../../../../../../srv/plc/now/x.conf", "etc/x.conf") // no further up than the root
	f.link("b", "etc/a")
	f.link("a", "etc/b")
	f.link("/run/none", "etc/none")
	for _, c := range []struct{ path, real, dirs string }{
		{"/srv/plc/1/x.conf", "/srv/plc/1/x.conf", "/srv/plc/1"},
		{"/opt/plc/now/x.conf", "/srv/plc/1/x.conf", "/opt /srv/plc /srv/plc/1"},
		{"/etc/x.conf", "/srv/plc/1/x.conf", "/etc /srv/plc /srv/plc/1"},
		{"/etc/none", "", "/etc /"}, // where a directory may appear
		{"/etc/missing", "", "/etc"},
	} {
		real, dirs, err := follow(f.root, f.root+c.path)
		if (err == nil) != (c.real != "") || strings.TrimPrefix(real, f.root) != c.real {
			t.Errorf("%s is %s, %v", c.path, real, err)
		}
		for i, d := range dirs {
			if dirs[i] = strings.TrimPrefix(d, f.root); dirs[i] == "" {
				dirs[i] = "/"
			}
		}
		if got := strings.Join(dirs, " "); got != c.dirs {
			t.Errorf("%s depends on %s, want %s", c.path, got, c.dirs)
		}
	}
	if _, dirs, err := follow(f.root, f.root+"/etc/a"); err == nil || len(dirs) > maxLinks+1 {
		t.Errorf("a circle: %v, %d directories", err, len(dirs))
	}
	if real, dirs, err := follow("", "/"); real != "/" || len(dirs) > 0 || err != nil {
		t.Errorf("the root is %s by %v, %v", real, dirs, err)
	}
}

// TestHearFiles holds that the kernel tells of a change in a file, wherever its pattern and links lead,
// long before the next look would be due.
func TestHearFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files  string
		change func(tree)
		told   string
	}{
		"a directory of a wildcard": {"/opt/*/x.conf", func(f tree) { f.write("opt/plc/x.conf", "b") }, "changed /opt/plc/x.conf"},
		"a file new in one":         {"/opt/*/x.conf", func(f tree) { f.write("opt/empty/x.conf", "b") }, "added /opt/empty/x.conf"},
		"a new directory":           {"/opt/*/x.conf", func(f tree) { f.whole("opt/new/x.conf", "b") }, "added /opt/new/x.conf"},
		"one below two wildcards":   {"/opt/*/*/y.conf", func(f tree) { f.whole("opt/new/deep/y.conf", "b") }, "added /opt/new/deep/y.conf"},
		"the file that a link is":   {"/etc/linked", func(f tree) { f.write("srv/target", "b") }, "changed /etc/linked"},
		"a link that leads elsewhere": {"/etc/app/x", func(f tree) {
			f.link("2", "etc/app/next")
			if err := os.Rename(filepath.Join(f.root, "etc/app/next"), filepath.Join(f.root, "etc/app/data")); err != nil {
				f.t.Fatal(err)
			}
		}, "changed /etc/app/x"},
		"a directory that was not there": {"/var/plc/conf/*", func(f tree) { f.whole("var/plc/conf/z", "b") }, "added /var/plc/conf/z"},
		"a directory by its other name":  {"/lib/systemd/system/*", func(f tree) { f.write("usr/lib/systemd/system/a.service", "b") }, "changed /lib/systemd/system/a.service"},
	} {
		t.Run(name, func(t *testing.T) {
			f := plant(t)
			f.write("opt/plc/x.conf", "a")
			f.write("opt/empty/other", "a")
			f.write("srv/target", "a")
			f.link("/srv/target", "etc/linked")
			f.write("etc/app/1/x", "a")
			f.write("etc/app/2/x", "b")
			f.link("1", "etc/app/data")
			f.link("data/x", "etc/app/x")
			f.write("var/other", "a")
			f.write("usr/lib/systemd/system/a.service", "a")
			f.link("usr/lib", "lib")
			w := f.watch(c.files)
			look(t, w, t0)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w.Run(ctx)
			c.change(f)
			deadline := time.After(30 * time.Second)
			for {
				select {
				case <-w.Wake():
				case <-deadline:
					t.Fatal("nothing was told")
				}
				if slices.ContainsFunc(w.Look(t0.Add(time.Second)), func(r Record) bool {
					return r.Kind == File && r.Change+" "+r.Subject == c.told
				}) {
					return
				}
			}
		})
	}
}

// whole has a file appear with its directories at once, so that one event is all that the kernel can tell.
func (f tree) whole(path, text string) {
	f.t.Helper()
	first, rest, _ := strings.Cut(path, "/")
	next, rest, _ := strings.Cut(rest, "/")
	made := filepath.Join("made", rest)
	f.write(made, text)
	if err := os.Rename(filepath.Join(f.root, "made"), filepath.Join(f.root, first, next)); err != nil {
		f.t.Fatal(err)
	}
}

// TestUnmatched holds that patterns which match no file are named, once.
func TestUnmatched(t *testing.T) {
	f := plant(t)
	w := f.watch("/etc/shadoww", "/opt/none/*.conf", "/etc/ssh", "/etc/ssh/*", "/etc/ld.so.preload")
	look(t, w, t0)
	if want := []string{"/etc/shadoww", "/opt/none/*.conf", "/etc/ssh"}; !slices.Equal(w.Unmatched, want) {
		t.Errorf("unmatched are %q, want %q", w.Unmatched, want)
	}
	w.Unmatched = nil
	look(t, w, t0.Add(time.Minute))
	if len(w.Unmatched) > 0 {
		t.Errorf("told again: %q", w.Unmatched)
	}
}

// TestLinkStaysBelowRoot holds that an absolute link of a host that is mounted somewhere means the host's file.
func TestLinkStaysBelowRoot(t *testing.T) {
	f := plant(t)
	f.link("/etc/hostname-of-the-plant", "etc/linked")
	f.write("etc/hostname-of-the-plant", "plc\n")
	w := f.watch("/etc/linked")
	look(t, w, t0)
	if got := w.known[File]["/etc/linked"]; !strings.HasPrefix(got, "sha256 ") {
		t.Errorf("the linked file is %q", got)
	}
}

// TestTwoNames has a directory that two kinds know by another name each.
func TestTwoNames(t *testing.T) {
	f := tree{t, t.TempDir()}
	f.write("real/a", "a")
	f.link("real", "link")
	n := newNotifier()
	ctx, cancel := context.WithCancel(context.Background())
	defer n.close()
	defer cancel()
	n.add(filepath.Join(f.root, "real"), User, nil)
	n.add(filepath.Join(f.root, "link"), Group, nil)
	n.run(ctx)
	f.write("real/a", "b")
	deadline := time.After(30 * time.Second)
	for got := map[Kind]bool{}; !got[User] || !got[Group]; {
		select {
		case <-n.wake:
			maps.Copy(got, n.take())
		case <-deadline:
			t.Fatalf("only %v heard", got)
		}
	}
}
