package oneword

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/monban/monban/internal/near"
	"github.com/monban/monban/internal/packet"
)

// Interfaces takes apart a list of interface names separated by commas, and sees
// that each is there. A name of no interface may be that of a mirror: vxlan, gre.
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
		case !slices.Contains(known, name) && !isMirror(name):
			errs = append(errs, fmt.Errorf("%s: there is no such interface%s; there are %s, and mirrors: %s", name, near.DidYouMean(name, known),
				strings.Join(known, ", "), strings.Join(packet.MirrorKinds(), ", ")))
		}
	}
	return names, errors.Join(errs...)
}

func isMirror(name string) bool {
	_, err := packet.ParseMirror(name)
	return err == nil
}

// listen sorts names into interfaces and mirrors; what is both is an interface.
func listen(names []string) (interfaces, mirrors []string) {
	for _, name := range names {
		if _, err := net.InterfaceByName(name); err != nil && isMirror(name) {
			mirrors = append(mirrors, name)
		} else {
			interfaces = append(interfaces, name)
		}
	}
	return interfaces, mirrors
}
