package httpjsonreceiver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/monban/monban/internal/jsonmap"
)

// reason is why a poll failed.
type reason string

// Reasons.
const (
	timeout    reason = "timeout"
	connection reason = "connection"
	tlsFailed  reason = "tls"
	redirected reason = "redirect"
	status     reason = "status"
	tooLarge   reason = "too_large"
	notJSON    reason = "not_json"
	refused    reason = "refused" // by the pipeline
)

type failure struct {
	reason reason
	err    error
}

// Error says what went wrong.
func (f *failure) Error() string { return string(f.reason) + ": " + f.err.Error() }

// Unwrap gives what it was.
func (f *failure) Unwrap() error { return f.err }

var errRedirect = errors.New("redirected")

// redirect lets a target redirect on its own host only: headers and credentials go along.
func (p *poller) redirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return fmt.Errorf("%w to another host, %s://%s: set the endpoint to where it is", errRedirect, next.URL.Scheme, next.URL.Host)
	}
	if len(via) > p.cfg.MaxRedirects {
		return fmt.Errorf("%w more than %d times", errRedirect, p.cfg.MaxRedirects)
	}
	return nil
}

// ask gets and decodes one answer. Its error is a *failure.
func (p *poller) ask(ctx context.Context, t *target) (any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint, http.NoBody)
	if err != nil {
		return nil, &failure{connection, err}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", p.set.BuildInfo.Command+"/"+p.set.BuildInfo.Version)
	res, err := t.client.Do(req)
	if err != nil {
		return nil, &failure{why(err), stripped(err)}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, &failure{status, fmt.Errorf("the answer is %s", res.Status)}
	}
	most := p.cfg.MaxBodyKiB << 10
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1)) // unpacked, when it was packed
	switch {
	case err != nil:
		return nil, &failure{why(err), fmt.Errorf("reading the answer: %w", stripped(err))}
	case int64(len(b)) > most:
		return nil, &failure{tooLarge, fmt.Errorf("the answer is longer than %d KiB", p.cfg.MaxBodyKiB)}
	}
	doc, err := jsonmap.Decode(b)
	if err != nil {
		return nil, &failure{notJSON, fmt.Errorf("the answer is no JSON: %w", err)}
	}
	return doc, nil
}

// stripped leaves the URL out of an error, whose query may hold a secret.
func stripped(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func why(err error) reason {
	var n net.Error
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(err, errRedirect):
		return redirected
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verify), errors.As(err, &authority), errors.Is(err, http.ErrSchemeMismatch):
		return tlsFailed
	case errors.As(err, &n) && n.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return timeout
	}
	return connection
}
