package host

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// Users tells names of users by number, from the host's /etc/passwd, which is read again
// when it has changed. It is safe for concurrent use.
type Users struct {
	path string

	mu      sync.Mutex
	names   map[uint32]string
	changed time.Time
	looked  time.Time
}

// Users gives the names of the host's users.
func (h *Host) Users() *Users { return &Users{path: h.Path("/etc/passwd")} }

const maxUsers = 65536

// Name is the name of a user, or the number where there is none.
func (u *Users) Name(id uint32) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); u.names == nil || now.Sub(u.looked) > time.Minute {
		u.looked = now
		if st, err := os.Stat(u.path); u.names == nil || err == nil && !st.ModTime().Equal(u.changed) {
			if err == nil {
				u.changed = st.ModTime()
			}
			data, _ := readWhole(u.path) // without names there are numbers
			u.names = parseNames(data)
		}
	}
	if n, ok := u.names[id]; ok {
		return n
	}
	return strconv.FormatUint(uint64(id), 10)
}

func parseNames(data []byte) map[uint32]string {
	names := map[uint32]string{}
	for line := range bytes.Lines(data) {
		f := bytes.SplitN(line, []byte{':'}, 4)
		if len(f) != 4 || len(names) >= maxUsers {
			continue
		}
		if id, err := strconv.ParseUint(string(f[2]), 10, 32); err == nil {
			if _, twice := names[uint32(id)]; !twice {
				names[uint32(id)] = string(f[0])
			}
		}
	}
	return names
}
