//go:build linux

package servers

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
)

var central = "https://repo1.maven.org/maven2/" // another in tests

// Artifact is a file of Maven Central.
type Artifact struct {
	Path   string // below the repository's root: org/slf4j/slf4j-simple/1.7.36/slf4j-simple-1.7.36.jar
	SHA256 string // in hex; what is served is refused when it is another
}

// parseArtifacts reads lines of a sum and a path, as sha256sum writes them.
func parseArtifacts(list string) (all []Artifact) {
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) == 2 {
			all = append(all, Artifact{SHA256: f[0], Path: f[1]})
		}
	}
	return all
}

// Store is the directory that keeps what was fetched.
func Store() string {
	if dir := os.Getenv("MONBAN_SERVERS"); dir != "" {
		return dir
	}
	return filepath.Join(testbed.Root(), ".cache", "servers")
}

// Fetch makes sure that the artefacts are in the store, and tells where, in their order. Test
// programs that run side by side fetch each only once.
func Fetch(ctx context.Context, artifacts ...Artifact) (files []string, err error) {
	unlock, err := lockStore()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, a := range artifacts {
		name := filepath.Join(Store(), "maven", filepath.FromSlash(a.Path))
		if _, err := os.Stat(name); err != nil { // only whole and checked ones ever get this name
			if err := download(ctx, a, name); err != nil {
				return nil, fmt.Errorf("fetching %s from Maven Central: %w", a.Path, err)
			}
		}
		files = append(files, name)
	}
	return files, nil
}

// lockStore keeps other test programs from the store.
func lockStore() (unlock func(), err error) {
	if err := os.MkdirAll(Store(), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(Store(), "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

var fetching = &http.Client{Timeout: 10 * time.Minute}

// download fetches an artefact to a file, which exists only when all of it is right.
func download(ctx context.Context, a Artifact, name string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, central+a.Path, nil)
	if err != nil {
		return err
	}
	res, err := fetching.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name + ".part")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), res.Body); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != a.SHA256 {
		return fmt.Errorf("its SHA-256 is %s, not %s", got, a.SHA256)
	}
	return os.Rename(f.Name(), name)
}

// Unpack fetches a zip and makes sure that it lies unpacked in the store, and tells where: in the
// one directory at its top when it has only one.
func Unpack(ctx context.Context, a Artifact) (dir string, err error) {
	files, err := Fetch(ctx, a)
	if err != nil {
		return "", err
	}
	unlock, err := lockStore()
	if err != nil {
		return "", err
	}
	defer unlock()
	dir = filepath.Join(Store(), "unpacked", strings.TrimSuffix(filepath.Base(a.Path), ".zip"))
	if _, err := os.Stat(dir); err != nil {
		part := dir + ".part"
		if err := os.RemoveAll(part); err != nil {
			return "", err
		}
		if err := unzip(files[0], part); err != nil {
			return "", fmt.Errorf("unpacking %s: %w", files[0], err)
		}
		if err := os.Rename(part, dir); err != nil {
			return "", err
		}
	}
	if top, err := os.ReadDir(dir); err == nil && len(top) == 1 && top[0].IsDir() {
		dir = filepath.Join(dir, top[0].Name())
	}
	return dir, nil
}

func unzip(name, dir string) error {
	z, err := zip.OpenReader(name)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if err := unzipFile(f, dir); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func unzipFile(f *zip.File, dir string) (err error) {
	if !filepath.IsLocal(f.Name) {
		return errors.New("the name leads out of the archive")
	}
	name := filepath.Join(dir, f.Name)
	if f.FileInfo().IsDir() {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, f.Mode()&fs.ModePerm|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Available tells why no Java server can be started here, or nil.
func Available() error {
	if _, err := exec.LookPath("java"); err != nil {
		return errors.New("no java on the PATH (17 or newer; Debian: default-jre-headless)")
	}
	return nil
}

// Need skips the test when err says that a server can't be had, or fails it if
// MONBAN_REQUIRE_SERVERS=1.
func Need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("MONBAN_REQUIRE_SERVERS") == "1":
		t.Fatalf("a server that MONBAN_REQUIRE_SERVERS=1 requires: %v", err)
	default:
		t.Skipf("no server here: %v", err)
	}
}
