//go:build linux

package search

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/monban/monban/internal/flatjson/flatjsontest"
	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

func long() bool { return os.Getenv("MONBAN_LONG") == "1" }

// shared are the servers that tests share, one of each version at a time: starting one takes longer
// than most tests.
var shared struct {
	sync.Mutex
	now *servers.Search
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.now != nil {
		shared.now.Close()
	}
	os.Exit(code)
}

// server gives the server of a version, which may have data of earlier tests in other namespaces.
func server(t *testing.T, version string) *servers.Search {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.now != nil && shared.now.Name != version {
		shared.now.Close()
		shared.now = nil
	}
	if shared.now == nil {
		if _, err := servers.Java(21, 99); err != nil {
			servers.Need(t, err)
		}
		s, err := servers.NewSearch(context.Background(), "outlets", servers.SearchOptions{Version: version})
		if err != nil {
			if s != nil {
				s.Close()
			}
			servers.Need(t, err)
		}
		shared.now = s
	}
	return shared.now
}

// fresh makes the next server one without data.
func fresh() {
	shared.Lock()
	defer shared.Unlock()
	if shared.now != nil {
		shared.now.Close()
		shared.now = nil
	}
}

// process is our binary.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	log    string   // file of standard error
	before []string // arguments before the configuration
	env    []string
	config string
	otlp   string // URL that takes logs
	ended  chan struct{}
}

// options are what a test changes of the configuration.
type options struct {
	url       string // of the server, or several separated by commas
	namespace string
	exporter  string // more options of the exporter, in YAML flow style: "template: off, "
	storage   string // state_storage, file_storage, or "" for a queue in memory
	state     string // directory; made if ""
	queue     string // more options of sending_queue, likewise
	manifest  string // address of a manifest, or "" for none
}

// configure makes a configuration that takes OTLP and sends to the server.
func configure(t testing.TB, o options) (config, otlp string) {
	t.Helper()
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if o.state == "" {
		o.state = t.TempDir()
	}
	storage, extensions := "", ""
	if o.storage != "" {
		storage = "storage: " + o.storage + ", "
		extensions = o.storage
	}
	manifest := ""
	if o.manifest != "" {
		manifest = "manifest: {endpoint: '" + o.manifest + "'}"
		extensions = strings.TrimPrefix(extensions+", manifest", ", ")
	}
	config = `
extensions:
  ` + manifest + `
  state_storage: {directory: ` + filepath.Join(o.state, "state") + `}
  file_storage: {directory: ` + filepath.Join(o.state, "files") + `, create_directory: true}
receivers:
  otlp: {protocols: {http: {endpoint: "127.0.0.1:` + strconv.Itoa(port) + `"}}}
exporters:
  elasticsearch: {endpoints: [` + o.url + `], namespace: ` + o.namespace + `, ` + o.exporter + `
    retry_on_failure: {initial_interval: 100ms, max_interval: 1s},
    sending_queue: {` + storage + o.queue + `batch: {flush_timeout: 100ms, min_size: 500, max_size: 2000}}}
service:
  extensions: [` + extensions + `]
  telemetry: {metrics: {level: none}, logs: {level: info, encoding: console}}
  pipelines:
    logs: {receivers: [otlp], exporters: [elasticsearch]}
`
	return config, "http://127.0.0.1:" + strconv.Itoa(port) + "/v1/logs"
}

// start starts our binary with a configuration and waits until it takes records.
func start(t testing.TB, o options) *process {
	t.Helper()
	config, otlp := configure(t, o)
	return run(t, &process{config: config, otlp: otlp})
}

// run starts a process; it ends with the test.
func run(t testing.TB, p *process) *process {
	t.Helper()
	p.t, p.log = t, filepath.Join(t.TempDir(), "stderr")
	p.launch()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("what monban said:\n%s", tail(p.said(), 25))
		}
	})
	return p
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// launch starts the binary, again after it was killed.
func (p *process) launch() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(testbed.Binary(p.t), append(slices.Clone(p.before), "--config", "yaml:"+p.config)...)
	p.cmd.Stderr, p.cmd.Env = log, append(os.Environ(), p.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(p.cmd, p.ended)
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(p.otlp)
		if err == nil {
			_ = res.Body.Close()
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("monban ended at its start:\n%s", tail(p.said(), 25))
		default:
		}
		if time.Since(begun) > time.Minute {
			p.t.Fatalf("monban takes no records:\n%s", tail(p.said(), 25))
		}
	}
}

// kill ends the process as a loss of power would, without a chance to do anything.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends the process in order.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Errorf("monban does not end:\n%s", tail(p.said(), 25))
		p.kill()
	}
}

func (p *process) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// says waits until the process has said all of these in one line.
func (p *process) says(words ...string) {
	p.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		for line := range strings.Lines(p.said()) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return
			}
		}
		if time.Since(begun) > time.Minute {
			p.t.Fatalf("monban does not say %q:\n%s", words, tail(p.said(), 25))
		}
	}
}

// feed makes records with numbers and knows which of them were accepted.
type feed struct {
	mu       sync.Mutex
	only     string // of events, if not a mixture
	next     int
	accepted map[int]bool
}

func newFeed() *feed { return &feed{accepted: map[int]bool{}} }

// batch makes n records: flows, with a sighting and a report among each twenty.
func (f *feed) batch(n int) (numbers []int, body []byte) {
	f.mu.Lock()
	first := f.next
	f.next += n
	f.mu.Unlock()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("host.name", "edge")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		lr := records.AppendEmpty()
		number := first + i
		numbers = append(numbers, number)
		flatjsontest.Usual(lr)
		kind := number % 20
		switch f.only {
		case "network.flow":
			kind = 0
		case "network.sighting":
			kind = 7
		case "threat.report":
			kind = 13
		}
		switch kind {
		case 7:
			lr.SetEventName("network.sighting")
			lr.Attributes().Clear()
			lr.Attributes().PutStr("sighting.kind", "arp.claim")
		case 13:
			lr.SetEventName("threat.report")
			lr.Attributes().Clear()
			lr.Attributes().PutStr("report.class", "port_scan")
		}
		lr.Attributes().PutInt("n", int64(number))
	}
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		panic(err)
	}
	return numbers, body
}

// try sends n records once and tells whether they were accepted.
func (f *feed) try(p *process, n int) bool {
	numbers, body := f.batch(n)
	if !post(p.otlp, body) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range numbers {
		f.accepted[n] = true
	}
	return true
}

// send sends n records in batches of a hundred, all of which must be accepted.
func (f *feed) send(p *process, n int) {
	p.t.Helper()
	for ; n > 0; n -= 100 {
		if !f.try(p, min(n, 100)) {
			p.t.Fatalf("records were not accepted:\n%s", tail(p.said(), 25))
		}
	}
}

var poster = &http.Client{Timeout: 20 * time.Second}

func post(url string, body []byte) bool {
	res, err := poster.Post(url, "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

// arrived waits until as many records have arrived as were accepted, and compares them by their numbers.
func (f *feed) arrived(t testing.TB, s *servers.Search, namespace string) {
	t.Helper()
	f.arrivedIn(t, s, namespace, 5*time.Minute) // a machine may be busy
}

func (f *feed) arrivedIn(t testing.TB, s *servers.Search, namespace string, wait time.Duration) {
	t.Helper()
	ctx := context.Background()
	index := "logs-monban.*-" + namespace
	want := len(f.accepted)
	var n int
	var err error
	for begun := time.Now(); time.Since(begun) < wait; time.Sleep(200 * time.Millisecond) {
		if n, err = s.Count(ctx, index); err == nil && n >= want {
			break
		}
	}
	hits, err := s.All(ctx, index)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	for _, h := range hits {
		if k := number(t, h); k >= 0 {
			seen[k]++
		}
	}
	lost, doubles := 0, 0
	for k := range f.accepted {
		if seen[k] == 0 {
			lost++
		}
	}
	for _, n := range seen {
		if n > 1 {
			doubles += n - 1
		}
	}
	t.Logf("%s: %d accepted, %d arrived, %d lost, %d doubles", t.Name(), want, len(seen), lost, doubles)
	if lost > 0 || doubles > 0 {
		t.Errorf("%d of %d accepted records are lost, %d are there twice", lost, want, doubles)
	}
	if want == 0 {
		t.Error("nothing was accepted")
	}
}

// number is that of a record, or of the record in a dead letter; -1 for neither.
func number(t testing.TB, h servers.Hit) int {
	var doc struct {
		Labels     struct{ N string }
		Attributes struct{ N int }
		Event      struct{ ID, Original string }
	}
	doc.Attributes.N = -1
	if err := json.Unmarshal(h.Source, &doc); err != nil {
		t.Fatalf("%v: %s", err, h.Source)
	}
	if doc.Event.Original != "" {
		return number(t, servers.Hit{Source: json.RawMessage(doc.Event.Original)})
	}
	if doc.Labels.N == "" {
		return doc.Attributes.N
	}
	n, err := strconv.Atoi(doc.Labels.N)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// namespace is one of the test's own.
func namespace(t testing.TB) string {
	return strings.ToLower(strings.NewReplacer("/", "_", "-", "_", ".", "_", " ", "_").Replace(t.Name()))
}

// spoil makes n records of which each second flow has an address that is none.
func spoil(t testing.TB, f *feed, n int) []byte {
	t.Helper()
	_, body := f.batch(n)
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		t.Fatal(err)
	}
	records := req.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for i := range n {
		lr := records.At(i)
		if i%2 == 0 {
			lr.SetEventName("network.flow")
			lr.Attributes().PutStr("source.address", "nowhere")
		}
	}
	body, err := req.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// stateOf is the directory of a process's storage, for the next one.
func stateOf(p *process) string {
	_, rest, _ := strings.Cut(p.config, "state_storage: {directory: ")
	dir, _, _ := strings.Cut(rest, "}")
	return filepath.Dir(dir)
}
