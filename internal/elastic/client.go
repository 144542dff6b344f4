package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Client talks to one or several nodes of a cluster. It is safe for concurrent use.
type Client struct {
	http  *http.Client
	nodes []*node
	auth  string // the Authorization header, "" for none

	mu   sync.Mutex
	next int

	renewed  map[string]bool   // streams that have yet to get a new index, as their template is new; of Install
	retained map[string]string // how long their template kept those before that have yet to get its new lifecycle; likewise
}

// node is one of the addresses given.
type node struct {
	url   string // without a slash at its end
	down  time.Time
	waits time.Duration // how long it was left alone last
}

// NewClient makes a client. auth is the value of the Authorization header, "" for none.
func NewClient(h *http.Client, endpoints []string, auth string) (*Client, error) {
	c := &Client{http: h, auth: auth}
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			if at := strings.LastIndexByte(e, '@'); at >= 0 {
				e = "…" + e[at:] // what stands before may be a password
			}
			return nil, fmt.Errorf("%q is not an address like https://elastic.example:9200", e)
		}
		if u.User != nil {
			return nil, fmt.Errorf("%s holds a user name; set user and password instead, which are not logged", u.Redacted())
		}
		c.nodes = append(c.nodes, &node{url: strings.TrimRight(e, "/")})
	}
	if len(c.nodes) == 0 {
		return nil, errors.New("no address")
	}
	return c, nil
}

// How long a node that did not answer is left alone while there are others.
const (
	firstWait = time.Second
	mostWait  = 30 * time.Second
)

// order lists the nodes in the order in which to try them: one after the other by turns, those
// that did not answer lately last.
func (c *Client) order() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, up, down := time.Now(), make([]*node, 0, len(c.nodes)), []*node(nil)
	for i := range c.nodes {
		n := c.nodes[(c.next+i)%len(c.nodes)]
		if n.down.After(now) {
			down = append(down, n)
		} else {
			up = append(up, n)
		}
	}
	c.next++
	return append(up, down...)
}

func (c *Client) mark(n *node, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if up {
		n.down, n.waits = time.Time{}, 0
		return
	}
	n.waits = min(max(firstWait, 2*n.waits), mostWait)
	n.down = time.Now().Add(n.waits)
}

// Error is an answer that is no verdict on documents. Nothing is lost by it: the same can be sent again.
type Error struct {
	Status     int           // of HTTP; 0 when there was no answer
	Type       string        // as the server calls it
	Reason     string        // in the server's words
	Node       string        // which one
	RetryAfter time.Duration // how long to wait, 0 when the server does not say
	err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Node + ": ")
	switch {
	case e.err != nil:
		b.WriteString(e.err.Error())
	default:
		b.WriteString(strconv.Itoa(e.Status) + " " + http.StatusText(e.Status))
	}
	if e.Type != "" {
		b.WriteString(": " + e.Type)
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	if h := Hint(e.Status, e.Type, e.Reason, e.err); h != "" {
		b.WriteString(" (" + h + ")")
	}
	return b.String()
}

// Unwrap gives the failure below, if there was no answer.
func (e *Error) Unwrap() error { return e.err }

// answer is the largest answer that is read: 100 bytes for each of half a million documents.
const answer = 64 << 20

// do sends one request, to another node when one does not answer or says that it can't. It gives
// the body of an answer below 300.
func (c *Client) do(ctx context.Context, method, path, contentType string, body []byte) (out []byte, header http.Header, err error) {
	for _, n := range c.order() {
		out, header, err = c.ask(ctx, n, method, path, contentType, body)
		var e *Error
		if !errors.As(err, &e) || e.Status != 0 && e.Status != http.StatusBadGateway && e.Status != http.StatusServiceUnavailable && e.Status != http.StatusGatewayTimeout {
			c.mark(n, true)
			return out, header, err
		}
		c.mark(n, false)
		if ctx.Err() != nil {
			break
		}
	}
	return out, header, err
}

func (c *Client) ask(ctx context.Context, n *node, method, path, contentType string, body []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if len(body) == 0 {
		req.Body, req.GetBody, req.ContentLength = http.NoBody, nil, 0
	} else {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "monban")
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, &Error{Node: n.url, err: cause(err)}
	}
	defer res.Body.Close()
	out, err := io.ReadAll(io.LimitReader(res.Body, answer+1))
	switch {
	case err != nil:
		return nil, nil, &Error{Node: n.url, err: fmt.Errorf("reading its answer: %w", err)}
	case len(out) > answer:
		return nil, nil, &Error{Node: n.url, err: errors.New("its answer has no end")}
	case res.StatusCode < 300:
		return out, res.Header, nil
	}
	e := &Error{Status: res.StatusCode, Node: n.url, RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	e.Type, e.Reason = readFault(out)
	return nil, res.Header, e
}

// cause takes the address from the error of the HTTP client, which is told anyway.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// fault is what both servers answer when something is wrong. The error is an object, or a text.
type fault struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
	Cause  *fault `json:"caused_by"`
}

// words is the reason with what lies below it, which tells the field and the value.
func (f *fault) words() string {
	s := f.Reason
	for c, depth := f.Cause, 0; c != nil && depth < 4; c, depth = c.Cause, depth+1 {
		if c.Reason != "" && !strings.Contains(s, c.Reason) {
			s += ": " + c.Reason
		}
	}
	return cut(s)
}

// cut shortens what could be long, as it may quote a document.
func cut(s string) string {
	const most = 500
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func readFault(body []byte) (typ, reason string) {
	var a struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &a) != nil || len(a.Error) == 0 {
		return "", cut(strings.TrimSpace(strings.ToValidUTF8(string(body), "�")))
	}
	var f fault
	if json.Unmarshal(a.Error, &f) == nil {
		return f.Type, f.words()
	}
	var s string
	_ = json.Unmarshal(a.Error, &s)
	return "", cut(s)
}

// longestWait bounds what a server may ask for.
const longestWait = time.Hour

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.Atoi(s); err == nil {
		d = time.Duration(min(max(n, 0), int(longestWait/time.Second))) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), longestWait)
}

// Hint says in words what a person can do about a fault, "" when only time helps.
func Hint(status int, typ, reason string, err error) string {
	text := reason
	if err != nil {
		text = err.Error()
	}
	has := func(s ...string) bool {
		for _, x := range s {
			if strings.Contains(text, x) || strings.Contains(typ, x) {
				return true
			}
		}
		return false
	}
	switch {
	case has("tls: certificate required", "tls: bad certificate", "tls: unknown certificate", "tls: expired certificate"): // the server's words on ours
		return "the server wants another client certificate: set tls::cert_file and tls::key_file to one that is valid and of an authority that the server trusts"
	case has("certificate has expired"):
		return "the server's certificate must be renewed, or this machine's clock is wrong"
	case has("certificate signed by unknown authority", "x509: certificate"):
		return "set tls::ca_file to the certificate of the authority that signed the server's, or use a name that it is made out to"
	case has("server gave HTTP response to HTTPS client"):
		return "the server speaks no TLS: use http:// in the endpoint"
	case has("malformed HTTP response", "EOF") && status == 0 && strings.Contains(text, "\\x15\\x03"):
		return "the server speaks TLS: use https:// in the endpoint"
	case status == http.StatusUnauthorized:
		return "the server does not accept user and password, api_key or token: check them"
	case has("flood-stage", "flood_stage", "TOO_MANY_REQUESTS/12"):
		return "a data node's disk is nearly full: make room there; sending goes on by itself then"
	case has("cluster_block_exception"):
		return "the index or the cluster is blocked for writing: look at index.blocks.* of the data stream's last index"
	case status == http.StatusForbidden:
		return "the credentials lack a right: writing takes create_doc and auto_configure on logs-monban.* and metrics-monban.* (OpenSearch: crud and create_index there, cluster_composite_ops), template: install takes more, docs/how-to/elasticsearch.md has all"
	case has("index_not_found_exception") && has("data stream"):
		return "the index template is missing: set template: install, or have an administrator install what docs/elasticsearch has"
	case noPipeline(reason):
		return "make the pipeline there, or take it out of index.default_pipeline and index.final_pipeline of the data stream's indices and template"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return "is this the address of Elasticsearch or OpenSearch itself?"
	case status == http.StatusRequestEntityTooLarge:
		return "lower bulk::max_bytes, or raise http.max_content_length there"
	}
	return ""
}
