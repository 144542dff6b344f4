package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func certificate(t *testing.T, cn string, dns []string, uris []string, until time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, DNSNames: dns, NotBefore: time.Unix(0, 0), NotAfter: until}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	until := now.Add(time.Hour)
	a := certificate(t, "a-cn", []string{"PLC-a.example"}, nil, until)
	b := certificate(t, "b-cn", []string{"x", "plc-b.example"}, []string{"spiffe://plant/b"}, until)
	both := certificate(t, "", []string{"plc-a.example", "plc-b.example"}, nil, until)
	old := certificate(t, "a-cn", []string{"plc-a.example"}, nil, now.Add(-time.Second))
	pinned := certificate(t, "p", nil, nil, until)
	stranger := certificate(t, "c", []string{"plc-c.example"}, nil, until)
	sum := sha256.Sum256(pinned.Raw)
	var colons []string
	for _, x := range sum {
		colons = append(colons, fmt.Sprintf("%02X", x))
	}
	r, err := Parse([]byte(`
probes:
  - {name: a, certificates: ["dns:plc-A.example", "cn:a-cn"], note: hall 1}
  - {name: b, certificates: ["uri:spiffe://plant/b", "dns:plc-b.example"], tokens: ["` + hashed("tb") + `"]}
  - {name: t, tokens: ["` + hashed("t1") + `", "` + hashed("t2") + `"]}
  - {name: pinned, certificates: ["sha256:` + strings.Join(colons, ":") + `"]}
  - {name: off, tokens: ["` + hashed("off") + `"], disabled: true}
  - {name: past, tokens: ["` + hashed("past") + `"], expires: 2026-10-31T00:00:00Z}
  - {name: future, tokens: ["` + hashed("future") + `"], expires: 2026-11-02T00:00:00Z}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		shown Shown
		want  string
	}{
		{"nothing", Shown{}, "  no_credentials"},
		{"a certificate", Shown{Certificate: a}, "a certificate "},
		{"a pinned one", Shown{Certificate: pinned}, "pinned certificate "},
		{"one nobody knows", Shown{Certificate: stranger}, "  unknown_certificate"},
		{"an old one", Shown{Certificate: old}, "  certificate_expired"},
		{"a certificate that needs a token too", Shown{Certificate: b}, "  token_missing"},
		{"both", Shown{Certificate: b, Token: "tb"}, "b certificate,token "},
		{"a token that needs a certificate too", Shown{Token: "tb"}, "  certificate_missing"},
		{"a token that needs another certificate", Shown{Token: "tb", Certificate: stranger}, "  unknown_certificate"},
		{"a token", Shown{Token: "t1"}, "t token "},
		{"its next", Shown{Token: "t2"}, "t token "},
		{"a wrong token", Shown{Token: "t3"}, "  unknown_token"},
		{"the hash for the token", Shown{Token: hashed("t1")}, "  unknown_token"},
		{"a wrong token beside a right certificate", Shown{Certificate: a, Token: "t3"}, "  unknown_token"},
		{"a right token of somebody else", Shown{Certificate: a, Token: "t1"}, "  mismatch"},
		{"a token beside a certificate that is not in the registry", Shown{Certificate: stranger, Token: "t1"}, "t token "},
		{"two names in one certificate", Shown{Certificate: both}, "  mismatch"},
		{"an old certificate beside a right token", Shown{Certificate: old, Token: "t1"}, "  certificate_expired"},
		{"switched off", Shown{Token: "off"}, "off  disabled"},
		{"over", Shown{Token: "past"}, "past  expired"},
		{"not yet over", Shown{Token: "future"}, "future token "},
		{"no one token", Shown{Token: garbled}, "  unknown_token"},
	} {
		v := r.Judge(c.shown, now)
		if got := fmt.Sprint(v.Name, " ", strings.Join(v.By, ","), " ", string(v.Reason)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if (v.Trust() == Trusted) != (v.Reason == "") || v.Reason == "" && len(v.By) == 0 {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

func TestParse(t *testing.T) {
	ok := hashed("x")
	for _, c := range []struct{ name, yaml, want string }{
		{"nobody", "probes: []", ""},
		{"one", "probes: [{name: a, tokens: ['" + ok + "']}]", ""},
		{"empty", "", "the registry is empty"},
		{"a comment", "# probes", "the registry is empty"},
		{"no list", "{}", "has no list of probes"},
		{"null", "probes:", "has no list of probes"},
		{"not YAML", "probes: [", "not as it should be"},
		{"two documents", "probes: []\n---\nprobes: []", "one YAML document"},
		{"an unknown key", "probes: [{name: a, tokenz: []}]", "field tokenz not found"},
		{"no name", "probes: [{tokens: ['" + ok + "']}]", "probe number 1: name must be"},
		{"a bad name", "probes: [{name: 'a b', tokens: ['" + ok + "']}]", "probe number 1: name must be"},
		{"a long name", "probes: [{name: " + strings.Repeat("a", 65) + ", tokens: ['" + ok + "']}]", "name must be"},
		{"twice", "probes: [{name: a, tokens: ['" + ok + "']}, {name: a, certificates: ['cn:a']}]", "probe a: there are two of this name"},
		{"the same token", "probes: [{name: a, tokens: ['" + ok + "']}, {name: b, tokens: ['" + ok + "']}]", "probe b: token number 1 is that of probe a already"},
		{"the same certificate", "probes: [{name: a, certificates: ['dns:A']}, {name: b, certificates: ['dns:a']}]", "probe b: certificate number 1 is that of probe a already"},
		{"nothing to know it by", "probes: [{name: a}]", "probe a: certificates or tokens must be set"},
		{"no kind", "probes: [{name: a, certificates: [plc]}]", "probe a: certificate number 1 must be one of dns:NAME"},
		{"an empty one", "probes: [{name: a, certificates: ['dns:']}]", "certificate number 1"},
		{"a short fingerprint", "probes: [{name: a, certificates: ['sha256:ab']}]", "certificate number 1"},
		{"a hash without its kind", "probes: [{name: a, tokens: ['" + strings.TrimPrefix(ok, "sha256:") + "']}]", "token number 1 must be sha256:"},
		{"an empty token", "probes: [{name: a, tokens: ['" + hashed("") + "']}]", "token number 1 is the hash of nothing"},
		{"too many", "probes: [{name: a, tokens: [" + strings.Repeat("'"+ok+"',", 17) + "]}]", "at most 16"},
		{"long", "probes: []\n#" + strings.Repeat("x", MostBytes), "more than 1048576 bytes"},
		{"all at once", "probes: [{name: a}, {name: b}]", "probe b: certificates or tokens"},
	} {
		_, err := Parse([]byte(c.yaml))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// A token that was written in the clear is not in what is said of it.
	const secret = "hunter2hunter2"
	for _, yaml := range []string{
		"probes: [{name: a, tokens: " + secret + "}]", "probes: [{name: a, tokens: [" + secret + "]}]", "probes: [{name: a, certificates: [" + secret + "]}]",
		"probes: [{name: '" + secret + " x'}]", "probes: " + secret, secret, "probes: [{name: a, disabled: " + secret + "}]", "probes: [{name: a, expires: " + secret + "}]",
	} {
		if _, err := Parse([]byte(yaml)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

func TestBearer(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   string
	}{
		{nil, ""}, {[]string{"Bearer x"}, "x"}, {[]string{"bearer  x "}, "x"}, {[]string{"Basic x"}, garbled}, {[]string{"Bearer"}, garbled},
		{[]string{"Bearer "}, garbled}, {[]string{""}, garbled}, {[]string{"Bearer x", "Bearer y"}, garbled}, {[]string{"Bearer a b"}, "a b"},
	} {
		if got := Bearer(c.values); got != c.want {
			t.Errorf("%q: %q", c.values, got)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "probes.yaml")
	write := func(names ...string) {
		t.Helper()
		var b strings.Builder
		b.WriteString("probes:\n")
		for _, n := range names {
			fmt.Fprintf(&b, "  - {name: %s, tokens: ['%s']}\n", n, hashed(n))
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Open(path); err == nil {
		t.Fatal("opened what is not there")
	}
	write("a", "b")
	f, r, err := Open(path)
	if err != nil || !slices.Equal(r.Names(), []string{"a", "b"}) {
		t.Fatal(r, err)
	}
	look := func(want string, wrong string) {
		t.Helper()
		r, err := f.Look()
		got := ""
		if r != nil {
			got = strings.Join(r.Names(), " ")
		}
		if got != want || wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%q %v, want %q %q", got, err, want, wrong)
		}
	}
	look("", "")
	write("a")
	look("", "") // it may be half of what is being written
	write("a", "c")
	look("", "")
	look("a c", "")
	look("", "")
	if err := os.WriteFile(path, []byte("probes: ["), 0o640); err != nil {
		t.Fatal(err)
	}
	look("", "")
	look("", "not as it should be")
	look("", "not as it should be")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look("", "no such file")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	look("", "no regular file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("a", "c")
	look("", "") // as it was
	if !f.Settled() {
		t.Error("not settled")
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	look("", "written by everybody")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("probes:\n  - {name: a, certificates: ['dns:x', 'sha256:00'], tokens: ['" + hashed("x") + "'], disabled: true, expires: 2026-01-01}"))
	f.Add([]byte("a: &a [*a, *a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		for _, s := range []Shown{{}, {Token: string(b)}, {Token: "x"}} {
			if v := r.Judge(s, time.Unix(0, 0)); v.Reason == "" && !slices.Contains(r.Names(), v.Name) {
				t.Errorf("%+v", v)
			}
		}
		if v := r.Judge(Shown{}, time.Unix(0, 0)); v.Reason != NoCredentials {
			t.Errorf("nobody is %+v", v)
		}
	})
}
