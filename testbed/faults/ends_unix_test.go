//go:build unix

package faults

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
)

// A signal in the middle of a file flushes what was read, and says that it was not all.
func TestSignals(t *testing.T) {
	plain := unpacked(t)
	for _, c := range []struct {
		signal syscall.Signal
		code   int
		says   string
	}{{syscall.SIGTERM, 0, ""}, {syscall.SIGINT, 0, ""}, {syscall.SIGHUP, 1, "a capture is read only once"}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			cmd := exec.Command(testbed.Binary(t), "--config", "pcap:-?out="+dir)
			cmd.Stdin = r
			go func() {
				_, _ = w.Write(plain) // and no end of it
				for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
					if info, err := os.Stat(filepath.Join(dir, "flows.ndjson")); err == nil && info.Size() > 0 {
						break
					}
				}
				_ = cmd.Process.Signal(c.signal)
			}()
			got := testbed.Exec(t, cmd)
			r.Close()
			ends(t, got, c.code, c.says)
			if n := conserved(t, dir); n == 0 {
				t.Error("nothing of what was read was written")
			}
			if !strings.Contains(got.Stdout, "stopped before the end of the capture") {
				t.Errorf("the summary does not say that it is not all\n%s", got.Stdout)
			}
		})
	}
}

func unpacked(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open(demo())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What can't be written ends with 1, and no fail_on hides it behind a 3.
func TestNothingCanBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	word := "pcap:" + demo() + "?fail_on=low"
	const no = "no space left on device"

	t.Run("the summary", func(t *testing.T) {
		cmd := exec.Command(testbed.Binary(t), "--config", word)
		cmd.Stdout = full
		ends(t, testbed.Exec(t, cmd), 1, no)
	})
	t.Run("events on standard output", func(t *testing.T) {
		cmd := exec.Command(testbed.Binary(t), "--config", word+"&out=-")
		cmd.Stdout = full
		ends(t, testbed.Exec(t, cmd), 1, no, "records lost")
	})
	t.Run("events in a file", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink("/dev/full", filepath.Join(dir, "flows.ndjson")); err != nil {
			t.Fatal(err)
		}
		ends(t, testbed.Run(t, "--config", word+"&out="+dir), 1, no, "records lost")
	})
	t.Run("a named pipe that nobody reads", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, "flows.ndjson"), 0o600); err != nil {
			t.Fatal(err)
		}
		ends(t, testbed.Run(t, "--config", word+"&out="+dir), 1, "that nobody reads")
	})
	t.Run("what was learned", func(t *testing.T) {
		dir := t.TempDir()
		state := filepath.Join(dir, "state")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		plain := unpacked(t)
		go func() {
			_, _ = w.Write(plain)
			of := filepath.Join(state, "processor_baseline")
			_ = os.RemoveAll(of)
			_ = os.WriteFile(of, nil, 0o600) // in the way
			w.Close()
		}()
		cmd := exec.Command(testbed.Binary(t), "--config", "pcap:-?fail_on=low&state="+state)
		cmd.Stdin = r
		got := testbed.Exec(t, cmd)
		r.Close()
		ends(t, got, 1, "The learned state could not be saved")
		if strings.Contains(got.Stdout, "What was learned is kept") {
			t.Errorf("the summary says that it was\n%s", got.Stdout)
		}
	})
}

// A reader who has seen enough is no error.
func TestReaderGoesAway(t *testing.T) {
	for _, out := range []string{"", "&out=-"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(testbed.Binary(t), "--config", "pcap:"+demo()+"?site=x"+out)
		cmd.Stdout = w
		go func() {
			_, _ = r.Read(make([]byte, 100))
			r.Close()
		}()
		ends(t, testbed.Exec(t, cmd), 0)
		w.Close()
	}
}

// A gzip is inflated as it is read, never as a whole, and only once.
func TestGzip(t *testing.T) {
	dir := t.TempDir()
	pack := func(name string, parts ...[]byte) string {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		for _, p := range parts {
			_, _ = z.Write(p)
		}
		_ = z.Close()
		return write(t, filepath.Join(dir, name), b.Bytes())
	}
	packed, err := os.ReadFile(demo())
	if err != nil {
		t.Fatal(err)
	}
	ends(t, testbed.Run(t, "--config", "pcap:"+pack("twice.gz", packed)), 1, "it is again a gzip")
	ends(t, testbed.Run(t, "--config", "pcap:"+write(t, filepath.Join(dir, "cut.gz"), packed[:len(packed)/3])), 0, "cut off")
	if testing.Short() {
		return
	}
	zeros := make([]byte, 64<<20)
	r := testbed.Run(t, "--config", "pcap:"+pack("bomb.gz", capture().Bytes(), zeros, zeros, zeros, zeros)+"?out="+dir)
	ends(t, r, 0)
	if n := conserved(t, dir); n != 4*len(zeros)/16 || r.PeakRSS > 150<<20 {
		t.Errorf("%d empty packets of 256 MiB of zeros, in %d MiB", n, r.PeakRSS>>20)
	}
}

// Without the right to listen it says which one is needed and how to grant it.
func TestNoPermission(t *testing.T) {
	if os.Getuid() != 0 {
		ends(t, testbed.Run(t, "--config", "live:lo"), 1, "CAP_NET_RAW", "setcap cap_net_raw+ep")
		return
	}
	data, err := os.ReadFile(testbed.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "monban") // where nobody else may look, too
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "monban")
	if err := os.WriteFile(name, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "--config", "live:lo")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	ends(t, testbed.Exec(t, cmd), 1, "CAP_NET_RAW", "setcap cap_net_raw+ep "+name)
}

// One component that lost its state starts anew; the others go on from theirs.
func TestOneStateDamaged(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	ends(t, testbed.Run(t, "--config", "pcap:"+demo()+"?state="+state), 0)
	for _, of := range []string{"processor_baseline", "connector_threat"} {
		files, _ := filepath.Glob(filepath.Join(state, of, "*.state"))
		if len(files) != 1 {
			t.Fatalf("%s keeps %v", of, files)
		}
		write(t, files[0], []byte("garbage"))
		out := filepath.Join(dir, of)
		ends(t, testbed.Run(t, "--config", "pcap:"+demo()+"?state="+state+"&out="+out), 0, "set aside", files[0])
		for _, e := range lines(t, filepath.Join(out, "devices.ndjson")) {
			if e["device.change"] == "new" {
				t.Errorf("%v is new again, though only %s was damaged", e["device.id"], of)
			}
		}
	}
}
