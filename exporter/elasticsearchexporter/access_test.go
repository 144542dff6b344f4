package elasticsearchexporter

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/monban/monban/testbed"
)

// newTLSServer is a server with TLS that wants a certificate of its clients, signed by the same authority.
func newTLSServer(t *testing.T, a *testbed.Authority, until time.Time) *bulkServer {
	pair := a.Sign(t, "elastic", until)
	cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	require.NoError(t, err)
	ca, err := os.ReadFile(a.File("ca.pem"))
	require.NoError(t, err)
	clients := x509.NewCertPool()
	require.True(t, clients.AppendCertsFromPEM(ca))
	s := &bulkServer{docs: map[string]string{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// A server that wants a certificate of its clients gets the one that is set, and without it, or with one that it
// does not accept, the error says which option to look at and everything is kept.
func TestClientCertificate(t *testing.T) {
	a, other := testbed.NewAuthority(t), testbed.NewAuthority(t)
	s := newTLSServer(t, a, time.Now().Add(time.Hour))
	set := func(p testbed.Pair) func(*Config) {
		return func(c *Config) {
			c.ClientConfig.TLS.CAFile, c.ClientConfig.TLS.CertFile, c.ClientConfig.TLS.KeyFile = a.File("ca.pem"), p.Cert, p.Key
		}
	}
	for _, c := range []struct {
		name string
		pair testbed.Pair
		says string // "" where it works
	}{
		{"the right one", a.Sign(t, "monban", time.Now().Add(time.Hour)), ""},
		{"none", testbed.Pair{}, "tls::cert_file"},
		{"of another authority", other.Sign(t, "monban", time.Now().Add(time.Hour)), "tls::cert_file"},
		{"expired", a.Sign(t, "old", time.Now().Add(-time.Minute)), "tls::cert_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.mu.Lock()
			clear(s.docs)
			s.mu.Unlock()
			e, _, logs := push(t, s, set(c.pair))
			err := e.pushLogs(t.Context(), some(4))
			if c.says == "" {
				require.NoError(t, err)
				assert.Equal(t, 4, s.count(""))
				return
			}
			require.ErrorContains(t, err, c.says)
			assert.False(t, consumererror.IsPermanent(err))
			assert.Equal(t, 1, logs.FilterMessageSnippet("for the time being").Len())
			assert.Zero(t, s.count(""))
		})
	}
	// its own certificate is another matter
	s = newTLSServer(t, a, time.Now().Add(-time.Minute))
	e, _, _ := push(t, s, set(a.Sign(t, "monban", time.Now().Add(time.Hour))))
	require.ErrorContains(t, e.pushLogs(t.Context(), some(1)), "the server's certificate must be renewed")
}

// A right that is missing keeps everything, is said with its name on both servers, and once it is given all is sent:
// as the whole request's answer (OpenSearch, and what else Elasticsearch guards) and as a verdict on each document.
func TestRightMissing(t *testing.T) {
	for name, body := range map[string]string{
		"Elasticsearch": `{"error":{"root_cause":[],"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized for API key id [x] of user [monban] on indices [logs-monban.flow-default], this action is granted by the index privileges [create_doc,create,delete,index,write,all]"},"status":403}`,
		"OpenSearch":    `{"error":{"root_cause":[],"type":"security_exception","reason":"no permissions for [indices:data/write/bulk] and User [name=monban, backend_roles=[], requestedTenant=null]"},"status":403}`,
		"a document":    "",
	} {
		t.Run(name, func(t *testing.T) {
			s := newBulkServer(t)
			e, tel, logs := push(t, s, func(c *Config) { c.APIKey = "id:key" })
			if body == "" {
				s.item = func(string, string) (int, string) {
					return 403, "action [indices:admin/auto_create] is unauthorized for API key id [x]"
				}
			} else {
				s.whole = func(w http.ResponseWriter, _ int) bool {
					w.WriteHeader(http.StatusForbidden)
					_, _ = fmt.Fprint(w, body)
					return true
				}
			}
			err := e.pushLogs(t.Context(), some(4))
			require.Error(t, err)
			for _, want := range []string{"403", "create_doc", "auto_configure", "crud", "create_index"} {
				assert.ErrorContains(t, err, want)
			}
			assert.False(t, consumererror.IsPermanent(err))
			assert.Zero(t, s.count(""))
			said := logs.FilterMessageSnippet("for the time being").All()
			require.Len(t, said, 1)
			assert.NotContains(t, strings.ToLower(fmt.Sprint(said[0].ContextMap())), "apikey aw", "a secret is not said")
			s.whole, s.item = nil, nil
			require.NoError(t, e.pushLogs(t.Context(), some(4)))
			assert.Equal(t, 4, s.count(""))
			assert.Equal(t, int64(4), outcomesOf(t, tel)["created"])
		})
	}
}
