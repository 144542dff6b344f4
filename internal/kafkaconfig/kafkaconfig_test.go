package kafkaconfig

import (
	"strings"
	"testing"
)

func TestSASL(t *testing.T) {
	for name, c := range map[string]struct {
		sasl SASLConfig
		want string
	}{
		"none":                      {SASLConfig{}, ""},
		"whole":                     {SASLConfig{Mechanism: "PLAIN", Username: "u", Password: "p"}, ""},
		"no name":                   {SASLConfig{Mechanism: "PLAIN", Password: "p"}, "sasl::username must be set"},
		"no password":               {SASLConfig{Mechanism: "SCRAM-SHA-512", Username: "u"}, "sasl::password must be set"},
		"no mechanism":              {SASLConfig{Username: "u", Password: "p"}, "do nothing without sasl::mechanism"},
		"a mechanism nobody has":    {SASLConfig{Mechanism: "plain", Username: "u", Password: "p"}, "sasl::mechanism must be"},
		"neither name nor password": {SASLConfig{Mechanism: "PLAIN"}, "sasl::password must be set"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := NewDefaultConfig()
			cfg.SASL = c.sasl
			err := cfg.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("it says %v, want %q", err, c.want)
			}
		})
	}
}
