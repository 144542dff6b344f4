//go:build linux

package search

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/monban/monban/testbed/servers"
)

// certificate makes a self-signed one for loopback that is valid until then.
func certificate(t *testing.T, until time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "elastic"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// TestAccess has a server with passwords and TLS: a wrong password, an authority that is not known and
// a certificate that has expired keep every record until they are mended, and each is said.
func TestAccess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	cert, key := certificate(t, time.Now().Add(24*time.Hour))
	s := servers.StartSearch(t, servers.SearchOptions{Version: "elasticsearch-9.1.0", Password: "gate-keeper", Cert: cert, Key: key})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	ns, state, f := namespace(t), t.TempDir(), newFeed()
	stage := func(exporter string, says ...string) {
		t.Helper()
		p := start(t, options{url: s.URL, namespace: ns, storage: "state_storage", state: state, exporter: exporter})
		f.send(p, 200)
		if len(says) > 0 {
			p.says(says...)
		} else {
			f.arrived(t, s, ns)
		}
		p.stop()
	}
	const right = "user: elastic, password: gate-keeper, "
	stage(right, "certificate signed by unknown authority", "tls::ca_file")
	stage("user: elastic, password: wrong, tls: {ca_file: "+ca+"}, ", "401", "check them")
	stage("tls: {ca_file: "+ca+"}, ", "401", "check them")
	stage("api_key: 'some:thing', tls: {ca_file: "+ca+"}, ", "401", "check them")
	stage(right + "tls: {ca_file: " + ca + "}, ")

	if !long() {
		return
	}
	old, oldKey := certificate(t, time.Now().Add(-time.Hour))
	s.Close()
	expired := servers.StartSearch(t, servers.SearchOptions{Version: "elasticsearch-8.19.0", Password: "gate-keeper", Cert: old, Key: oldKey})
	if err := os.WriteFile(ca, old, 0o600); err != nil {
		t.Fatal(err)
	}
	f, s, state = newFeed(), expired, t.TempDir()
	stage(right+"tls: {ca_file: "+ca+"}, ", "certificate has expired", "must be renewed")
	stage(right + "tls: {ca_file: " + ca + ", insecure_skip_verify: true}, ")
}
