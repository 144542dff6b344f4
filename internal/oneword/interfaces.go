package oneword

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Interfaces takes apart a list of interface names separated by commas, and sees
// that each is there.
func Interfaces(text string) ([]string, error) {
	names := strings.Split(text, ",")
	interfaces, err := net.Interfaces()
	if err != nil {
		return names, nil // not allowed to look; the receiver will say what is wrong
	}
	var known []string
	for _, i := range interfaces {
		known = append(known, i.Name)
	}
	var errs []error
	for i, name := range names {
		switch {
		case name == "":
			errs = append(errs, errors.New("an interface name is empty: two commas in a row?"))
		case slices.Contains(names[:i], name):
			errs = append(errs, fmt.Errorf("%s is given twice", name))
		case !slices.Contains(known, name):
			errs = append(errs, fmt.Errorf("%s: there is no such interface%s; there are %s", name, DidYouMean(name, known), strings.Join(known, ", ")))
		}
	}
	return names, errors.Join(errs...)
}
