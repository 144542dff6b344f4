// Package probe decides who sends: it knows the probes of a registry file, and judges what a sender shows, a
// certificate that TLS has verified, a bearer token, or both, against it.
//
// It promises that a probe is known only by everything that its entry asks for, that tokens are held and compared
// as hashes only, and that a registry is whole or refused with all that is wrong in it. It gives up pardon: a wrong
// token beside a right certificate makes a sender unknown. A Registry never changes and is safe for concurrent use.
package probe

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of a registry.
const (
	MostBytes  = 1 << 20
	mostProbes = 10_000
	mostOfOne  = 16 // certificates or tokens of one probe
)

// Attributes that say who vouches for a record. Everything below Prefix is ours to set.
const (
	Prefix    = "probe."
	Name      = "probe.name"       // the probe that vouches
	Trust     = "probe.trust"      // trusted or quarantined
	VouchedBy = "probe.vouched_by" // how it was known: certificate, token, configuration
	Why       = "probe.reason"     // why it is quarantined, a Reason
)

// Values of Trust.
const (
	Trusted     = "trusted"
	Quarantined = "quarantined"
)

// Ways of VouchedBy.
const (
	ByCertificate   = "certificate"
	ByToken         = "token"
	ByConfiguration = "configuration"
)

// Reason is why a sender is not a known probe.
type Reason string

// Reasons.
const (
	NoCredentials      Reason = "no_credentials"
	UnknownToken       Reason = "unknown_token"
	UnknownCertificate Reason = "unknown_certificate"
	CertificateExpired Reason = "certificate_expired"
	CertificateMissing Reason = "certificate_missing" // the token's probe must show one
	TokenMissing       Reason = "token_missing"       // the certificate's probe must show one
	Mismatch           Reason = "mismatch"            // token and certificate, or names in one certificate, are of different probes
	Disabled           Reason = "disabled"
	Expired            Reason = "expired"
	Unvouched          Reason = "unvouched" // nobody was asked: the receiver does not authenticate
)

// Banned reports whether the sender is known and not wanted, so that it is refused whatever happens to the unknown.
func (r Reason) Banned() bool { return r == Disabled || r == Expired }

// Verdict is what is known of a sender: the probe's name and how it was known, or why it is not one.
type Verdict struct {
	Name   string
	By     []string
	Reason Reason // "" when the sender is the probe Name
}

// Voucher is a verdict as authentication data of a request. It is a type of its own so that nobody else's data,
// such as the claims of a web token, is taken for it.
type Voucher struct{ Verdict }

// GetAttribute gives one of GetAttributeNames.
func (v Voucher) GetAttribute(key string) any {
	switch key {
	case Name:
		return v.Name
	case Trust:
		return v.Trust()
	case VouchedBy:
		return v.By
	case Why:
		return string(v.Reason)
	}
	return nil
}

// GetAttributeNames lists the attributes.
func (v Voucher) GetAttributeNames() []string { return []string{Name, Trust, VouchedBy, Why} }

// Trust is the value of the attribute of that name.
func (v Verdict) Trust() string {
	if v.Reason == "" {
		return Trusted
	}
	return Quarantined
}

// Shown is what a sender shows: the certificate that TLS has verified, nil for none, and the bearer token, "" for none.
type Shown struct {
	Certificate *x509.Certificate
	Token       string
}

type entry struct {
	Name         string    `yaml:"name"`
	Certificates []string  `yaml:"certificates"`
	Tokens       []string  `yaml:"tokens"`
	Disabled     bool      `yaml:"disabled"`
	Expires      time.Time `yaml:"expires"`
	Note         string    `yaml:"note"`
}

// ValidName reports whether a probe may have this name.
func ValidName(s string) bool { return nameForm.MatchString(s) }

type hash [sha256.Size]byte

// Registry is the probes that are known.
type Registry struct {
	names         []string
	byToken       map[hash]*entry
	byCertificate map[string]*entry
}

// Names lists the probes, in their order in the file.
func (r *Registry) Names() []string { return r.names }

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	quoted   = regexp.MustCompile("`[^`]*`|\"(?:[^\"\\\\]|\\\\.)*\"")
)

// Parse reads a registry. Its error names all that is wrong, and never shows a token that somebody wrote in the clear.
func Parse(b []byte) (*Registry, error) {
	if len(b) > MostBytes {
		return nil, fmt.Errorf("the registry has more than %d bytes", MostBytes)
	}
	var file struct {
		Probes *[]entry `yaml:"probes"`
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the registry is empty; a registry that knows nobody says `probes: []`")
		}
		return nil, errors.New("the registry is not as it should be: " + quoted.ReplaceAllString(err.Error(), "`…`"))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the registry must be one YAML document")
	}
	if file.Probes == nil {
		return nil, errors.New("the registry has no list of probes; a registry that knows nobody says `probes: []`")
	}
	if len(*file.Probes) > mostProbes {
		return nil, fmt.Errorf("the registry has more than %d probes", mostProbes)
	}
	r := &Registry{byToken: map[hash]*entry{}, byCertificate: map[string]*entry{}}
	var errs []error
	for i := range *file.Probes {
		e := &(*file.Probes)[i]
		errs = append(errs, r.add(i, e))
	}
	return r, errors.Join(errs...)
}

func (r *Registry) add(i int, e *entry) error {
	var errs []error
	wrong := func(format string, args ...any) {
		who := e.Name
		if !nameForm.MatchString(who) {
			who = fmt.Sprintf("number %d", i+1)
		}
		errs = append(errs, fmt.Errorf("probe "+who+": "+format, args...))
	}
	switch {
	case !nameForm.MatchString(e.Name):
		wrong("name must be 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first")
	case slices.Contains(r.names, e.Name):
		wrong("there are two of this name")
	}
	r.names = append(r.names, e.Name)
	if len(e.Certificates)+len(e.Tokens) == 0 {
		wrong("certificates or tokens must be set, or else nothing tells that it is this probe")
	}
	if len(e.Certificates) > mostOfOne || len(e.Tokens) > mostOfOne {
		wrong("at most %d certificates and %d tokens", mostOfOne, mostOfOne)
	}
	for j, c := range e.Certificates {
		id := identity(c)
		if id == "" {
			wrong("certificate number %d must be one of dns:NAME, uri:URI, cn:NAME and sha256:FINGERPRINT", j+1)
			continue
		}
		if other, taken := r.byCertificate[id]; taken {
			wrong("certificate number %d is that of probe %s already", j+1, other.Name)
		}
		r.byCertificate[id] = e
	}
	for j, t := range e.Tokens {
		h, err := decode(t)
		if err != nil {
			wrong("token number %d must be sha256: and the SHA-256 of the token in hexadecimal, not the token itself", j+1)
			continue
		}
		if h == sha256.Sum256(nil) {
			wrong("token number %d is the hash of nothing", j+1)
		}
		if other, taken := r.byToken[h]; taken {
			wrong("token number %d is that of probe %s already", j+1, other.Name)
		}
		r.byToken[h] = e
	}
	return errors.Join(errs...)
}

func decode(s string) (h hash, err error) {
	digits, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != len(h) {
		return h, errors.New("no hash")
	}
	return hash(b), nil
}

// identity brings what the registry says of a certificate to the form of [shows]; "" when it can't be.
func identity(s string) string {
	kind, v, _ := strings.Cut(s, ":")
	if v == "" || strings.TrimSpace(v) != v {
		return ""
	}
	switch kind {
	case "dns":
		return strings.ToLower(s)
	case "uri", "cn":
		return s
	case "sha256":
		if h, err := decode("sha256:" + strings.ReplaceAll(v, ":", "")); err == nil { // openssl writes colons
			return "sha256:" + hex.EncodeToString(h[:])
		}
	}
	return ""
}

// shows lists the identities that a certificate gives its holder.
func shows(c *x509.Certificate) []string {
	sum := sha256.Sum256(c.Raw)
	ids := []string{"sha256:" + hex.EncodeToString(sum[:])}
	for _, n := range c.DNSNames {
		ids = append(ids, "dns:"+strings.ToLower(n))
	}
	for _, u := range c.URIs {
		ids = append(ids, "uri:"+u.String())
	}
	if c.Subject.CommonName != "" {
		ids = append(ids, "cn:"+c.Subject.CommonName)
	}
	return ids
}

// Judge says who shows this now.
func (r *Registry) Judge(s Shown, now time.Time) Verdict {
	var ofToken, ofCertificate *entry
	if s.Token != "" {
		if ofToken = r.byToken[sha256.Sum256([]byte(s.Token))]; ofToken == nil || s.Token == garbled {
			return Verdict{Reason: UnknownToken}
		}
	}
	if s.Certificate != nil {
		if now.After(s.Certificate.NotAfter) { // TLS looks when a connection begins, and connections last
			return Verdict{Reason: CertificateExpired}
		}
		for _, id := range shows(s.Certificate) {
			e := r.byCertificate[id]
			if e != nil && ofCertificate != nil && e != ofCertificate {
				return Verdict{Reason: Mismatch}
			}
			if e != nil {
				ofCertificate = e
			}
		}
	}
	e := ofToken
	switch {
	case ofToken != nil && ofCertificate != nil && ofToken != ofCertificate:
		return Verdict{Reason: Mismatch}
	case ofToken != nil && ofCertificate == nil && len(ofToken.Certificates) > 0:
		if s.Certificate != nil {
			return Verdict{Reason: UnknownCertificate}
		}
		return Verdict{Reason: CertificateMissing}
	case ofToken == nil && ofCertificate != nil:
		if e = ofCertificate; len(e.Tokens) > 0 {
			return Verdict{Reason: TokenMissing}
		}
	case ofToken == nil && s.Certificate != nil:
		return Verdict{Reason: UnknownCertificate}
	case ofToken == nil:
		return Verdict{Reason: NoCredentials}
	}
	switch {
	case e.Disabled:
		return Verdict{Name: e.Name, Reason: Disabled}
	case !e.Expires.IsZero() && now.After(e.Expires):
		return Verdict{Name: e.Name, Reason: Expired}
	}
	v := Verdict{Name: e.Name}
	if ofCertificate != nil {
		v.By = append(v.By, ByCertificate)
	}
	if ofToken != nil {
		v.By = append(v.By, ByToken)
	}
	return v
}

// garbled stands for an Authorization header that has no one bearer token. No probe has it.
const garbled = "\x00"

// Bearer gives the token of an Authorization header's values. Several values are none that anybody has.
func Bearer(values []string) string {
	if len(values) == 0 {
		return ""
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "bearer") || strings.TrimSpace(token) == "" {
		return garbled
	}
	return strings.TrimSpace(token)
}
