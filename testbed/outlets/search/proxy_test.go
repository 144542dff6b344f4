//go:build linux

package search

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/monban/monban/testbed/servers"
)

// proxy stands before a real server and does what that does seldom.
type proxy struct {
	*httptest.Server
	target   string
	delay    atomic.Int64 // nanoseconds before each answer
	refuse   atomic.Bool  // every second document of a bulk request, with 429
	drop     atomic.Bool  // the answer: the server has the documents and we don't know
	busy     atomic.Int64 // so many requests are answered with 429 and Retry-After
	limit    atomic.Int64 // of a request's bytes
	requests atomic.Int64
	refused  atomic.Int64
}

func newProxy(t *testing.T, target string) *proxy {
	p := &proxy{target: target}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return
	}
	bulk := strings.HasPrefix(r.URL.Path, "/_bulk")
	if bulk {
		p.requests.Add(1)
		time.Sleep(time.Duration(p.delay.Load()))
		if p.busy.Add(-1) >= 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if limit := p.limit.Load(); limit > 0 && int64(len(b)) > limit {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
	}
	forward, held := b, []bool(nil)
	if bulk && p.refuse.Load() {
		forward, held = halve(b)
	}
	status, header, answer, err := p.ask(r, forward)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if bulk && held != nil && status == http.StatusOK {
		answer = p.join(answer, held)
	}
	if bulk && p.drop.Load() {
		panic(http.ErrAbortHandler)
	}
	for _, h := range []string{"Content-Type", "X-Elastic-Product", "X-Opensearch-Version"} {
		if v := header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func (p *proxy) ask(r *http.Request, body []byte) (status int, header http.Header, answer []byte, err error) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, p.target+r.URL.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, res.Header, answer, err
}

// halve takes each second document out of a bulk request.
func halve(b []byte) (rest []byte, held []bool) {
	lines := bytes.SplitAfter(b, []byte("\n"))
	for i := 0; i+1 < len(lines); i += 2 {
		out := i/2%2 == 1
		held = append(held, out)
		if !out {
			rest = append(append(rest, lines[i]...), lines[i+1]...)
		}
	}
	return rest, held
}

// join puts verdicts on what was held back into the server's answer.
func (p *proxy) join(answer []byte, held []bool) []byte {
	var a struct {
		Items []json.RawMessage `json:"items"`
	}
	_ = json.Unmarshal(answer, &a)
	var all []json.RawMessage
	for _, out := range held {
		if out {
			p.refused.Add(1)
			all = append(all, json.RawMessage(`{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"queue is full"}}}`))
		} else if len(a.Items) > 0 {
			all, a.Items = append(all, a.Items[0]), a.Items[1:]
		}
	}
	b, _ := json.Marshal(map[string]any{"errors": true, "items": all})
	return b
}

// slowServer answers after longer than a request may take, having done what it was asked: what is
// sent again then is there already.
func slowServer(t *testing.T, s *servers.Search, ns string) {
	x := newProxy(t, s.URL)
	p, f := start(t, options{url: x.URL, namespace: ns, storage: "state_storage", exporter: "timeout: 5s, "}), newFeed()
	f.send(p, 200)
	f.arrived(t, s, ns)
	x.delay.Store(int64(8 * time.Second))
	f.send(p, 1000)
	p.says("Nothing can be sent for the time being")
	x.delay.Store(0)
	f.arrived(t, s, ns)
	x.drop.Store(true) // the answer is lost on its way, the documents are not
	f.send(p, 1000)
	for before := x.requests.Load(); x.requests.Load() < before+3; {
		time.Sleep(10 * time.Millisecond)
	}
	x.drop.Store(false)
	f.arrived(t, s, ns)
}

// halfRefused has each second document of every request refused for a while.
func halfRefused(t *testing.T, s *servers.Search, ns string) {
	x := newProxy(t, s.URL)
	p, f := start(t, options{url: x.URL, namespace: ns, storage: "state_storage"}), newFeed()
	x.refuse.Store(true)
	f.send(p, 2000)
	for x.refused.Load() < 1000 {
		time.Sleep(10 * time.Millisecond)
	}
	x.refuse.Store(false)
	x.busy.Store(3)
	f.send(p, 500)
	f.arrived(t, s, ns)
	x.limit.Store(20_000) // a few documents a request
	f.send(p, 500)
	f.arrived(t, s, ns)
	if n, err := s.Count(t.Context(), "logs-monban.deadletter-"+ns); n != 0 || err != nil {
		t.Errorf("%d dead letters, %v", n, err)
	}
	p.says("es_rejected_execution_exception", "queue is full")
}

// deadNode names a node that is not there, one that answers 503 and one that works.
func deadNode(t *testing.T, s *servers.Search, ns string) {
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer ill.Close()
	p, f := start(t, options{url: fmt.Sprintf("http://127.0.0.1:1, %s, %s", ill.URL, s.URL), namespace: ns, storage: "state_storage"}), newFeed()
	f.send(p, 2000)
	f.arrived(t, s, ns)
	if strings.Contains(p.said(), "Nothing can be sent") {
		t.Errorf("one node is enough:\n%s", tail(p.said(), 5))
	}
}
