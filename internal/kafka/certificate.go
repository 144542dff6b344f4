package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// blame tells whose certificate a failed connection is about and what to do, "" when it is about none.
// A broker that does not take ours says hardly why (Kafka's own: "unknown certificate"), so ours is
// looked at here.
func blame(err error, own *tls.Config, now time.Time) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil && now.Before(invalid.Cert.NotBefore):
		return "the broker's certificate is not valid before " + date(invalid.Cert.NotBefore) + ": this machine's clock is wrong, or the broker's was"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return "the broker's certificate has expired on " + date(invalid.Cert.NotAfter) + ": it must be renewed there, or this machine's clock is wrong"
	case errors.As(err, &unknown):
		return "the broker's certificate is of an authority that is not known here: set tls::ca_file to that authority's certificate"
	case errors.As(err, &name):
		return "the broker's certificate is made out to another name: use that for the broker's address, or tls::server_name_override"
	case own == nil || !aboutOurs(err.Error()):
		return ""
	}
	leaf, err := certificate(own)
	switch {
	case err != nil:
		return fmt.Sprintf("our own certificate can't be read: %v", err)
	case leaf == nil:
		return "the broker asks for a certificate of ours: set tls::cert_file and tls::key_file"
	case now.After(leaf.NotAfter):
		return "our own certificate has expired on " + date(leaf.NotAfter) + ": renew tls::cert_file; with tls::reload_interval it is read without a restart"
	case now.Before(leaf.NotBefore):
		return "our own certificate is not valid before " + date(leaf.NotBefore) + ": this machine's clock is wrong, or the certificate is"
	}
	return "the broker does not take our certificate: it must be signed by an authority in the broker's truststore, be valid by the broker's clock, and not be revoked"
}

// aboutOurs tells whether a broker refuses our certificate, by the alert of TLS that it sends: not all are about certificates.
func aboutOurs(text string) bool {
	_, alert, ok := strings.Cut(text, "remote error: tls: ")
	return ok && (strings.Contains(alert, "certificate") || alert == "access denied" || alert == "handshake failure")
}

// certificate is ours, nil if there is none.
func certificate(own *tls.Config) (*x509.Certificate, error) {
	var c *tls.Certificate
	switch {
	case own.GetClientCertificate != nil:
		var err error
		if c, err = own.GetClientCertificate(&tls.CertificateRequestInfo{}); err != nil {
			return nil, err
		}
	case len(own.Certificates) > 0:
		c = &own.Certificates[0]
	}
	if c == nil || len(c.Certificate) == 0 {
		return nil, nil
	}
	if c.Leaf != nil {
		return c.Leaf, nil
	}
	return x509.ParseCertificate(c.Certificate[0])
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
