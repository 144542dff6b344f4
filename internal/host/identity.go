package host

import (
	"context"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/host"
)

// Identity is which computer this is.
type Identity struct {
	Name        string // as the kernel says it; of the root path's /etc/hostname there
	ID          string // of the machine, which outlives names and addresses
	Arch        string // as semantic conventions name it: amd64, arm64, arm32, x86, …
	OSType      string // linux, windows, darwin, …
	OSName      string // "debian"
	OSVersion   string // "12.9"
	Description string // "debian 12.9, kernel 6.1.0"
	IPs, MACs   []string
}

// maxAddresses bounds how many addresses one host tells.
const maxAddresses = 64

var archNames = map[string]string{"386": "x86", "arm": "arm32", "ppc64le": "ppc64"}

// Identity finds out which computer this is. What can't be found out is left empty.
func (h *Host) Identity(ctx context.Context) Identity {
	ctx = h.context(ctx)
	id := Identity{OSType: runtime.GOOS, Arch: runtime.GOARCH}
	if a := archNames[id.Arch]; a != "" {
		id.Arch = a
	}
	if h.root != "" {
		id.Name, _ = readText(h.Path("/etc/hostname"))
	}
	if id.Name == "" {
		id.Name, _ = os.Hostname()
	}
	id.ID = h.machineID()
	if id.ID == "" {
		id.ID, _ = host.HostIDWithContext(ctx)
	}
	id.OSName, _, id.OSVersion, _ = host.PlatformInformationWithContext(ctx)
	kernel, _ := host.KernelVersionWithContext(ctx)
	id.Description = strings.TrimSpace(id.OSName + " " + id.OSVersion)
	if kernel != "" {
		id.Description = strings.TrimPrefix(id.Description+", kernel "+kernel, ", ")
	}
	if h.root == "" { // elsewhere they would be those of our own name space
		id.addresses()
	}
	return id
}

// machineID is what semantic conventions ask for on Linux; unlike the one of the board it
// can be read by everyone, so that it does not depend on who runs us.
func (h *Host) machineID() string {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if text, err := readText(h.Path(file)); err == nil && text != "" && text != "uninitialized" {
			return text
		}
	}
	return ""
}

func (id *Identity) addresses() {
	all, _ := net.Interfaces()
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 {
			continue
		}
		if mac := i.HardwareAddr.String(); len(i.HardwareAddr) == 6 && !slices.Contains(id.MACs, mac) && len(id.MACs) < maxAddresses {
			id.MACs = append(id.MACs, mac)
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && len(id.IPs) < maxAddresses {
				id.IPs = append(id.IPs, n.IP.String())
			}
		}
	}
}
