package privilege

import (
	"errors"
	"fmt"
	osuser "os/user"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is kept of the capabilities that there are:
//   - CAP_NET_RAW, to listen again on an interface that was taken away and came back;
//   - CAP_NET_BIND_SERVICE, since receivers of the same process may start later;
//   - of root that stays root, CAP_DAC_OVERRIDE: with sudo the directories for events and
//     state are somebody else's as a rule, and root without it could not write there.
const (
	kept         = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BIND_SERVICE
	keptWithRoot = kept | 1<<unix.CAP_DAC_OVERRIDE
)

// netAdmin remembers that the process had the capability when it gave it up.
var netAdmin atomic.Bool

// GaveUpNetAdmin reports whether CAP_NET_ADMIN is missing because Drop gave it up.
func GaveUpNetAdmin() bool { return netAdmin.Load() }

// Drop gives up all capabilities but a few, and the ways to get others by running a program.
// Root becomes the user, given by name or number, and stays root where that is "".
func Drop(user string) error {
	if err := all("no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	root := syscall.Geteuid() == 0
	keep := uint64(kept)
	switch {
	case root && user != "":
		if err := become(user); err != nil {
			return fmt.Errorf("becoming user %s: %w", user, err)
		}
	case root:
		keep = keptWithRoot
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	had := data[0].Permitted&(1<<unix.CAP_NET_ADMIN) != 0
	for i := range data {
		permitted := data[i].Permitted & uint32(keep>>(32*i))
		data[i] = unix.CapUserData{Permitted: permitted, Effective: permitted}
	}
	header.Pid = 0
	if err := all("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); err != nil {
		return err
	}
	if had {
		netAdmin.Store(true)
	}
	return nil
}

// all makes a system call in every thread.
func all(what string, call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(call, a, b, c, 0, 0, 0); errno != 0 {
		if errno == syscall.ENOTSUP {
			return fmt.Errorf("%s: a program built with cgo can't do this in all its threads: %w", what, errors.ErrUnsupported)
		}
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// become changes the user and keeps the capabilities for Drop to choose from.
func become(name string) error {
	u, err := osuser.Lookup(name)
	if err != nil {
		if u, err = osuser.LookupId(name); err != nil {
			return fmt.Errorf("there is no such user: %w", err)
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	if uid == 0 {
		return errors.New("that is root itself")
	}
	if err := all("keeping capabilities", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0); err != nil {
		return err
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("setresgid: %w", err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("setresuid: %w", err)
	}
	return nil
}
