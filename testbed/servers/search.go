//go:build linux

package servers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// searchVersion is a server of Elasticsearch or OpenSearch that can be started.
type searchVersion struct {
	artifact    Artifact
	least, most int // of Java
}

const (
	elasticsearchPath = "org/elasticsearch/distribution/integ-test-zip/elasticsearch/"
	opensearchPath    = "org/opensearch/distribution/integ-test-zip/opensearch/"
)

var searchVersions = map[string]searchVersion{
	"elasticsearch-9.1.0":  {Artifact{elasticsearchPath + "9.1.0/elasticsearch-9.1.0.zip", "be5c5440bb6344cee4070f8f77a6c3cd72363db494944047cdd93748c4e19111"}, 21, 99},
	"elasticsearch-8.19.0": {Artifact{elasticsearchPath + "8.19.0/elasticsearch-8.19.0.zip", "14833b2d86c30656901f92049f81fb5777a8e4545413c8656cd1a21b55173033"}, 17, 99},
	"opensearch-3.4.0":     {Artifact{opensearchPath + "3.4.0/opensearch-3.4.0.zip", "6540e95fe8bfaedc3eb1c58e829912ea2203af2ac1f88f76411c20a2fc5254a6"}, 21, 99},
	"opensearch-2.19.3":    {Artifact{opensearchPath + "2.19.3/opensearch-2.19.3.zip", "760530e522de0a9f06380d4a4a43dfd83c31fa8911f41745513ce715ed5dfd03"}, 17, 23},
}

// SearchVersions lists the servers to test with: the newest of each, or all if MONBAN_LONG=1, as
// `make test-servers` sets.
func SearchVersions() []string {
	if os.Getenv("MONBAN_LONG") == "1" {
		return slices.Sorted(maps.Keys(searchVersions))
	}
	return []string{"elasticsearch-9.1.0", "opensearch-3.4.0"}
}

// SearchOptions say what server to start.
type SearchOptions struct {
	Version  string // of SearchVersions
	Password string // of the user elastic; Elasticsearch only
	Cert     []byte // PEM: TLS with this certificate and Key; Elasticsearch only
	Key      []byte
	Settings map[string]string // of the server's YAML file, besides ours
	Heap     string            // 512m if ""
}

// Search is one node of Elasticsearch or OpenSearch.
type Search struct {
	*Process
	URL      string
	Password string
	dir      string
	http     *http.Client
}

// OpenSearch reports whether it is that.
func (s *Search) OpenSearch() bool { return strings.HasPrefix(s.Name, "opensearch") }

// StartSearch starts a node for this test, which ends with it.
func StartSearch(t testing.TB, o SearchOptions) *Search {
	t.Helper()
	s, err := NewSearch(t.Context(), t.Name(), o)
	if s != nil {
		t.Cleanup(func() {
			s.Close()
			if t.Failed() {
				t.Logf("the log of %s is %s; its end:\n%s", s.Name, s.Log, s.Tail(15))
			}
		})
	}
	var fetch *fetchError
	if errors.As(err, &fetch) {
		Need(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Close kills the node and removes its data.
func (s *Search) Close() {
	_ = s.Kill()
	_ = os.RemoveAll(s.dir)
}

// NewSearch starts a node, for tests that share one; name is that of its log. It comes back even
// with an error, to be closed, unless it is nil.
func NewSearch(ctx context.Context, name string, o SearchOptions) (*Search, error) {
	v, ok := searchVersions[o.Version]
	if !ok {
		return nil, fmt.Errorf("there is no %q", o.Version)
	}
	java, err := Java(v.least, v.most)
	if err != nil {
		return nil, &fetchError{err}
	}
	home, err := Unpack(ctx, v.artifact)
	if err != nil {
		return nil, &fetchError{err}
	}
	dir, err := os.MkdirTemp("", "monban-search-")
	if err != nil {
		return nil, err
	}
	s := &Search{Process: &Process{Name: o.Version, wait: 5 * time.Minute, group: true}, Password: o.Password, dir: dir}
	if s.Log, err = LogFile(name + "-" + o.Version); err != nil {
		return s, err
	}
	http1, err := FreePort()
	if err != nil {
		return s, err
	}
	transport, err := FreePort()
	if err != nil {
		return s, err
	}
	product, _, _ := strings.Cut(o.Version, "-")
	config := filepath.Join(dir, "config")
	if err := os.CopyFS(config, os.DirFS(filepath.Join(home, "config"))); err != nil {
		return s, err
	}
	// what the options of Java say of a directory of logs is below the distribution, which nobody may write to
	options := filepath.Join(config, "jvm.options")
	b, err := os.ReadFile(options)
	if err == nil {
		err = os.WriteFile(options, regexp.MustCompile(`\blogs/`).ReplaceAll(b, []byte(filepath.Join(dir, "logs")+"/")), 0o644)
	}
	for _, name := range []string{"logs", "tmp"} { // apart from config, of which the server is careful
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, name), 0o755)
		}
	}
	if err != nil {
		return s, err
	}
	settings := map[string]string{
		"discovery.type": "single-node", "network.host": "127.0.0.1", "http.port": strconv.Itoa(http1), "transport.port": strconv.Itoa(transport),
		"path.data": filepath.Join(dir, "data"), "path.logs": filepath.Join(dir, "logs"),
		"cluster.routing.allocation.disk.threshold_enabled": "false", // whatever else lies on this machine's disk
	}
	scheme := "http"
	if !s.OpenSearch() {
		settings["xpack.security.enabled"] = strconv.FormatBool(o.Password != "")
	}
	s.http = &http.Client{Timeout: 30 * time.Second}
	if o.Cert != nil {
		scheme = "https"
		for file, b := range map[string][]byte{"http.crt": o.Cert, "http.key": o.Key} {
			if err := os.WriteFile(filepath.Join(config, file), b, 0o600); err != nil {
				return s, err
			}
		}
		settings["xpack.security.http.ssl.enabled"] = "true"
		settings["xpack.security.http.ssl.certificate"], settings["xpack.security.http.ssl.key"] = "http.crt", "http.key"
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(o.Cert)
		// whether a certificate is still valid is what some tests are about
		s.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // the test's own server, by its port
	}
	maps.Copy(settings, o.Settings)
	s.URL = scheme + "://127.0.0.1:" + strconv.Itoa(http1)
	var yaml strings.Builder
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&yaml, "%s: %s\n", k, settings[k])
	}
	if err := os.WriteFile(filepath.Join(config, product+".yml"), []byte(yaml.String()), 0o644); err != nil {
		return s, err
	}
	who, err := owner(dir)
	if err != nil {
		return s, err
	}
	heap := o.Heap
	if heap == "" {
		heap = "512m"
	}
	upper := map[string]string{"elasticsearch": "ES", "opensearch": "OPENSEARCH"}[product]
	env := append(os.Environ(), upper+"_JAVA_HOME="+java, upper+"_JAVA_OPTS=-Xms"+heap+" -Xmx"+heap+" -XX:TieredStopAtLevel=1", upper+"_PATH_CONF="+config, "HOME="+filepath.Join(dir, "tmp"), upper+"_TMPDIR="+filepath.Join(dir, "tmp"))
	command := func(file string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(home, "bin", file), args...)
		cmd.Env, cmd.Dir = env, dir
		if who != nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		}
		return cmd
	}
	if o.Password != "" {
		if out, err := command("elasticsearch-keystore", "create").CombinedOutput(); err != nil {
			return s, fmt.Errorf("making the keystore: %w\n%s", err, out)
		}
		add := command("elasticsearch-keystore", "add", "-x", "-f", "bootstrap.password")
		add.Stdin = strings.NewReader(o.Password)
		if out, err := add.CombinedOutput(); err != nil {
			return s, fmt.Errorf("setting the password: %w\n%s", err, out)
		}
	}
	s.command = func() *exec.Cmd { return command(product) }
	s.answers = func(ctx context.Context) error {
		return s.Do(ctx, http.MethodGet, "/_cluster/health?wait_for_status=yellow&timeout=1s", nil, nil)
	}
	return s, s.Start(ctx)
}

// owner gives the files below dir to a user of the system, when this is root, as whom neither
// server starts. The user is made if need be.
func owner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	const name = "monban-servers"
	u, err := user.Lookup(name)
	if err != nil {
		if out, err := exec.Command("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("making the user %s, as the server does not start as root: %w\n%s", name, err, out)
		}
		if u, err = user.Lookup(name); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(uid), int(gid))
	})
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

var javaVersion = regexp.MustCompile(`JAVA_VERSION="(\d+)`)

// Java is the home of the oldest Java from least to most that is here: where MONBAN_JAVA_HOME or
// JAVA_HOME say, and below /usr/lib/jvm.
func Java(least, most int) (string, error) {
	homes, _ := filepath.Glob("/usr/lib/jvm/*")
	for _, name := range []string{"JAVA_HOME", "MONBAN_JAVA_HOME"} {
		if dir := os.Getenv(name); dir != "" {
			homes = append(homes, dir)
		}
	}
	best, found := "", 0
	for _, dir := range homes {
		b, err := os.ReadFile(filepath.Join(dir, "release"))
		m := javaVersion.FindSubmatch(b)
		if err != nil || m == nil {
			continue
		}
		v, _ := strconv.Atoi(string(m[1]))
		if v >= least && v <= most && (best == "" || v < found) {
			best, found = dir, v
		}
	}
	if best == "" {
		return "", fmt.Errorf("no JDK from %d to %d in MONBAN_JAVA_HOME or /usr/lib/jvm", least, most)
	}
	return best, nil
}

// Do asks the server something and reads its answer into out, unless that is nil.
func (s *Search) Do(ctx context.Context, method, path string, body, out any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.Password != "" {
		req.SetBasicAuth("elastic", s.Password)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.1000s", method, path, res.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// Hit is a document as it was found.
type Hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
}

// All reads every document of a data stream or an index, none when it is not there.
func (s *Search) All(ctx context.Context, index string) (all []Hit, err error) {
	if err := s.Do(ctx, http.MethodPost, "/"+index+"/_refresh?ignore_unavailable=true", nil, nil); err != nil {
		return nil, err
	}
	var page struct {
		Scroll string `json:"_scroll_id"`
		Hits   struct {
			Hits []Hit `json:"hits"`
		} `json:"hits"`
	}
	err = s.Do(ctx, http.MethodPost, "/"+index+"/_search?scroll=1m&ignore_unavailable=true&allow_no_indices=true", map[string]any{"size": 5000, "sort": []string{"_doc"}}, &page)
	for err == nil && len(page.Hits.Hits) > 0 {
		all = append(all, page.Hits.Hits...)
		scroll := page.Scroll
		page.Hits.Hits = nil
		err = s.Do(ctx, http.MethodPost, "/_search/scroll", map[string]any{"scroll": "1m", "scroll_id": scroll}, &page)
	}
	if page.Scroll != "" {
		_ = s.Do(ctx, http.MethodDelete, "/_search/scroll", map[string]any{"scroll_id": page.Scroll}, nil)
	}
	return all, err
}

// Count tells how many documents there are.
func (s *Search) Count(ctx context.Context, index string) (int, error) {
	var c struct {
		Count int `json:"count"`
	}
	if err := s.Do(ctx, http.MethodPost, "/"+index+"/_refresh?ignore_unavailable=true", nil, nil); err != nil {
		return 0, err
	}
	err := s.Do(ctx, http.MethodGet, "/"+index+"/_count?ignore_unavailable=true&allow_no_indices=true", nil, &c)
	return c.Count, err
}
