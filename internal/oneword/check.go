package oneword

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/monban/monban/internal/near"
	"github.com/monban/monban/internal/threat"
)

// severities that fail_on takes.
var severities = []string{threat.Low, threat.Medium, threat.High, threat.Critical}

func oneOf(words ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(words, value) {
			return nil
		}
		n := len(words) - 1
		return fmt.Errorf("%q is not %s or %s%s", value, strings.Join(words[:n], ", "), words[n], near.DidYouMean(value, words))
	}
}

// checkDir refuses what can't become a directory. It makes none: the configuration
// may only be looked at.
func checkDir(value string) error {
	info, err := os.Stat(value)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is a file, not a directory", value)
	}
	return nil
}

func checkOut(value string) error {
	if value == Stdin { // standard output here
		return nil
	}
	return checkDir(value)
}

func checkPrefixes(value string) error {
	_, err := prefixes(value)
	return err
}

// prefixes reads CIDR,CIDR,…; a bare address stands for itself.
func prefixes(value string) (list []string, err error) {
	var errs []error
	for _, s := range strings.Split(value, ",") {
		s = strings.TrimSpace(s)
		if a, err := netip.ParseAddr(s); err == nil {
			list = append(list, netip.PrefixFrom(a, a.BitLen()).String())
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q is neither a network such as 192.168.1.0/24 nor an address", s))
			continue
		}
		list = append(list, p.Masked().String())
	}
	return list, errors.Join(errs...)
}
