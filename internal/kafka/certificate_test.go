package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
)

// TestBlame shakes hands for real, with certificates of which one is at fault.
func TestBlame(t *testing.T) {
	ca, other := testbed.NewAuthority(t), testbed.NewAuthority(t)
	now := time.Now()
	load := func(p testbed.Pair) tls.Certificate {
		t.Helper()
		c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	pool := func(a *testbed.Authority) *x509.CertPool {
		b, err := os.ReadFile(a.File("ca.pem"))
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(b) {
			t.Fatal(err)
		}
		return pool
	}
	good, old := load(ca.Sign(t, "good", now.Add(time.Hour))), load(ca.Sign(t, "old", now.Add(-time.Minute)))
	foreign := load(other.Sign(t, "foreign", now.Add(time.Hour)))
	for _, c := range []struct {
		name   string
		broker tls.Certificate
		own    *tls.Config
		at     time.Time
		want   string
	}{
		{"broker's expired", old, &tls.Config{RootCAs: pool(ca)}, now, "the broker's certificate has expired on "},
		{"broker's of later", good, &tls.Config{RootCAs: pool(ca)}, now.Add(-24 * time.Hour), "the broker's certificate is not valid before "},
		{"unknown authority", good, &tls.Config{RootCAs: pool(other)}, now, "not known here"},
		{"another name", good, &tls.Config{RootCAs: pool(ca), ServerName: "kafka.example"}, now, "another name"},
		{"none of ours", good, &tls.Config{RootCAs: pool(ca)}, now, "set tls::cert_file"},
		{"ours expired", good, &tls.Config{RootCAs: pool(ca), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &old, nil }}, now, "our own certificate has expired on "},
		{"ours of another authority", good, &tls.Config{RootCAs: pool(ca), Certificates: []tls.Certificate{foreign}}, now, "does not take our certificate"},
		{"ours unreadable", good, &tls.Config{RootCAs: pool(ca), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, errors.New("torn") }}, now, ""},
		{"all well", good, &tls.Config{RootCAs: pool(ca), Certificates: []tls.Certificate{good}}, now, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				server, err := l.Accept()
				if err != nil {
					return
				}
				s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{c.broker}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(ca), MinVersion: tls.VersionTLS12})
				if s.Handshake() == nil {
					_, _ = s.Write([]byte("x"))
				}
				_ = s.Close()
			}()
			own := c.own.Clone()
			own.MinVersion, own.Time = tls.VersionTLS12, func() time.Time { return c.at }
			if own.ServerName == "" {
				own.ServerName = "127.0.0.1"
			}
			conn, err := tls.Dial("tcp", l.Addr().String(), own)
			if err == nil {
				_, err = io.ReadFull(conn, make([]byte, 1))
				_ = conn.Close()
			}
			<-done
			_ = l.Close()
			got := blame(fmt.Errorf("unable to dial: %w", err), own, c.at)
			if err == nil {
				got = blame(nil, own, c.at)
			}
			if got == "" != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q for %v, not %q", got, err, c.want)
			}
		})
	}
	if got := blame(errors.New("connection refused"), nil, now); got != "" {
		t.Errorf("%q without TLS", got)
	}
}

// TestBlameOnlyCertificates blames ours for nothing that it can't mend.
func TestBlameOnlyCertificates(t *testing.T) {
	for alert, ours := range map[string]bool{
		"protocol version not supported": false, "internal error": false, "unrecognized name": false, "user canceled": false,
		"bad certificate": true, "certificate required": true, "unknown certificate authority": true, "access denied": true, "handshake failure": true,
	} {
		if got := blame(fmt.Errorf("remote error: tls: %s", alert), &tls.Config{}, time.Now()); (got != "") != ours {
			t.Errorf("%s: %q", alert, got)
		}
	}
}
