package host

import (
	"bytes"
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
	Device      string // MAC address of the interface that leads out, by which others on the wire know it
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
	id.Device = h.device()
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

// device is the MAC address of the interface that the default route leads through, else of the
// first that has one.
func (h *Host) device() string {
	mac := func(name string) string {
		text, _ := readText(h.Path("/sys/class/net/" + name + "/address"))
		if a, err := net.ParseMAC(text); err == nil && len(a) == 6 && text != "00:00:00:00:00:00" {
			return a.String()
		}
		return ""
	}
	routes, _ := readWhole(h.first("net/route"))
	for line := range bytes.Lines(routes) {
		if f := strings.Fields(string(line)); len(f) > 2 && f[1] == "00000000" {
			if m := mac(f[0]); m != "" {
				return m
			}
		}
	}
	all, _ := os.ReadDir(h.Path("/sys/class/net"))
	for _, i := range all {
		if m := mac(i.Name()); m != "" {
			return m
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
		// The conventions write them in upper case with hyphens.
		if mac := strings.ToUpper(strings.ReplaceAll(i.HardwareAddr.String(), ":", "-")); len(i.HardwareAddr) == 6 && !slices.Contains(id.MACs, mac) && len(id.MACs) < maxAddresses {
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
