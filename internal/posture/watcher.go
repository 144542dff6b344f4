package posture

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/host"
)

const (
	maxFacts   = 8192 // of a kind
	maxChanges = 64   // of a kind that one look tells one by one
	maxText    = 512  // bytes of a subject or of what is known of it
)

// Config says what is watched.
type Config struct {
	// Device is the inventory id of the host.
	Device string
	// Off are kinds that are not watched.
	Off []Kind
	// Files are patterns of files whose content must stay.
	Files []string
	// ListEvery is how often all facts are told.
	ListEvery time.Duration
	// WalkEvery is how often the disks are walked for programs with their owner's rights.
	WalkEvery time.Duration
	// LoginFailures is how many failed log-ins from one place within LoginWindow are told.
	LoginFailures int
	LoginWindow   time.Duration
	// AuthLogs are files to which log-ins are written. The first that is there is followed.
	AuthLogs []string
}

// NewDefaultConfig gives a configuration with our opinions.
func NewDefaultConfig() Config {
	return Config{
		Files:     []string{"/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*", "/etc/crontab", "/etc/cron.d/*", "/etc/ld.so.preload", "/etc/hosts", "/etc/pam.d/*"},
		ListEvery: 24 * time.Hour, WalkEvery: time.Hour, LoginFailures: 5, LoginWindow: 10 * time.Minute,
		AuthLogs: []string{"/var/log/auth.log", "/var/log/secure"},
	}
}

// facts are what is known of a kind: of each subject a text.
type facts map[string]string

// probe reads one kind of fact.
type probe struct {
	kind   Kind
	every  time.Duration // at the latest
	read   func() (facts, error)
	paths  []string      // directories whose changes make it due
	settle time.Duration // from the first look on, for what starts with us
	due    time.Time
}

// Watcher looks at a host. It is not safe for concurrent use.
type Watcher struct {
	host   *host.Host
	cfg    Config
	probes []*probe
	notify *notifier
	walk   *walker
	login  *logins

	known    map[Kind]facts
	restored map[Kind]bool // known from before this start, and not yet compared
	begun    bool
	listed   time.Time
	programs map[uint64]string // by inode of a socket
	hashes   map[string]hashed // by path

	// Faults counts what could not be read.
	Faults host.Faults
	// Dropped counts facts and changes beyond the bounds.
	Dropped uint64
	// Unmatched are patterns of files that matched none at the first look, but for those of the
	// default configuration, of which no host has all.
	Unmatched []string
}

// ErrUnsupported is returned where there is nothing to watch with.
var ErrUnsupported = errors.New("posture is told on Linux only")

// New makes a watcher of a host. Close gives back what it holds.
func New(h *host.Host, cfg Config) (*Watcher, error) {
	w := &Watcher{host: h, cfg: cfg, known: map[Kind]facts{}, restored: map[Kind]bool{}, programs: map[uint64]string{}}
	if err := w.open(); err != nil {
		return nil, err
	}
	w.probes = slices.DeleteFunc(w.probes, func(p *probe) bool { return slices.Contains(cfg.Off, p.kind) })
	return w, nil
}

// Facts counts what is known of the host.
func (w *Watcher) Facts() (n int) {
	for _, f := range w.known {
		n += len(f)
	}
	return n
}

// Wake is signalled when a file changed, so that a look soon is worth it.
func (w *Watcher) Wake() <-chan struct{} { return w.notify.wake }

// Run does what must not hold up a look, until ctx ends: it hears of changed files, walks the
// disks, and follows the log of log-ins.
func (w *Watcher) Run(ctx context.Context) {
	w.notify.run(ctx)
	if !slices.Contains(w.cfg.Off, SetUID) {
		w.walk.run(ctx)
	}
	if !slices.Contains(w.cfg.Off, Login) {
		w.login.run(ctx)
	}
}

// Close waits for what Run began, whose context must have ended.
func (w *Watcher) Close() {
	w.notify.close()
	w.walk.wait()
	w.login.wait()
}

// Look does what is due and returns what there is to tell. The first look at a host that
// nothing is known of tells how it is, and no change.
func (w *Watcher) Look(now time.Time) []Record {
	var out []Record
	touched := w.notify.take()
	for _, p := range w.probes {
		if !w.begun && p.settle > 0 {
			p.due = now.Add(p.settle)
		}
		if now.Before(p.due) && !touched[p.kind] {
			continue
		}
		p.due = now.Add(p.every)
		for _, dir := range p.paths { // one may have been made, or made anew
			w.notify.add(dir, p.kind, &w.Faults)
		}
		found, err := p.read()
		if errors.Is(err, errLater) {
			p.due = now // as soon as there is something
			continue
		}
		if err != nil { // what can't be read has not changed
			w.Faults.Note(err)
			continue
		}
		out = append(out, w.compare(now, p.kind, w.bounded(found))...)
	}
	w.begun = true
	out = append(out, w.failures(now)...)
	if w.listed.IsZero() {
		w.listed = now // each kind was told when it was first read
		return out
	}
	if now.Sub(w.listed) >= w.cfg.ListEvery || now.Before(w.listed.Add(-time.Hour)) {
		w.listed = now
		for _, kind := range slices.Sorted(maps.Keys(w.known)) {
			out = append(out, w.list(now, kind)...)
		}
	}
	return out
}

// errLater says that a probe has nothing yet.
var errLater = errors.New("not known yet")

// bounded shortens texts, and leaves out what is beyond the bound.
func (w *Watcher) bounded(found facts) facts {
	out := make(facts, len(found))
	for _, subject := range slices.Sorted(maps.Keys(found)) {
		if len(out) >= maxFacts {
			w.Dropped++
			continue
		}
		out[short(subject)] = short(found[subject])
	}
	return out
}

func short(s string) string {
	if len(s) > maxText { // what is cut off still tells one text from another
		sum := sha256.Sum256([]byte(s))
		s = s[:maxText-20] + "… " + hex.EncodeToString(sum[:8])
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// gone stands before what was known of a socket or a module that is no more: one that comes
// back, as when a service starts again, is nothing new.
const gone = "gone: "

// compare tells what is new since the last look, and remembers.
func (w *Watcher) compare(now time.Time, kind Kind, found facts) (out []Record) {
	was, before := w.known[kind]
	w.known[kind] = found
	defer delete(w.restored, kind)
	if !before {
		return w.list(now, kind)
	}
	sticky := kind == Listener || kind == Module
	for subject, is := range found {
		old, ok := was[subject]
		if before, left := strings.CutPrefix(old, gone); sticky && left {
			r := w.record(now, kind, Added, subject, before, is)
			if before == is { // it is back, as after a restart
				r.Was, r.Severity, r.Anomaly = "", Info, event.Anomaly{}
			}
			out = append(out, r)
		} else if !ok {
			out = append(out, w.record(now, kind, Added, subject, "", is))
		} else if old != is {
			out = append(out, w.record(now, kind, Changed, subject, old, is))
		}
	}
	for subject, old := range was {
		if _, ok := found[subject]; ok {
			continue
		}
		left := strings.HasPrefix(old, gone)
		if !sticky || !left {
			out = append(out, w.record(now, kind, Removed, subject, old, ""))
		}
		if sticky && len(found) < maxFacts {
			if !left {
				old = gone + old
			}
			found[subject] = old
		}
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Change, b.Change), strings.Compare(a.Subject, b.Subject))
	})
	if rest := len(out) - maxChanges; rest > 0 {
		w.Dropped += uint64(rest)
		out = out[:maxChanges]
	}
	return out
}

// record makes one event of a change, with what it means.
func (w *Watcher) record(now time.Time, kind Kind, change, subject, was, is string) Record {
	m := meanings[kind]
	r := Record{Time: now.UnixNano(), Kind: kind, Change: change, Subject: subject, Was: was, Is: is, Why: m.why, Technique: m.technique, Severity: m.severity, Device: w.cfg.Device, While: w.restored[kind]}
	if !worse(kind, change, subject, was, is) {
		r.Severity = Info
		return r
	}
	if kind := EvidenceOf(kind); kind != "" && w.cfg.Device != "" {
		r.Anomaly = event.Anomaly{Score: score[m.severity], Reasons: []event.Reason{{
			Kind: kind, Device: w.cfg.Device, Subject: subject, Strength: 1, Expected: m.expected, Seen: seen(r),
		}}}
	}
	return r
}

var score = map[string]float64{Info: 0.3, Warn: 0.6, Error: 0.9}

// worse reports whether a change is for the worse.
func worse(kind Kind, change, subject, was, is string) bool {
	switch kind {
	case File:
		return change != Present // removed, too
	case Time:
		return change == Changed && is != synchronised
	case Firewall:
		return change == Changed && is == firewallOff
	case Encryption:
		return (change == Changed || change == Added) && is != encrypted
	case Listener:
		if change == Added && was == "" && loopback(subject) {
			return false // nobody else reaches it
		}
		return change == Added || change == Changed
	case Group:
		return change == Added || change == Changed && !fewer(is, was)
	}
	return change == Added || change == Changed
}

// fewer reports whether a group, "gid 27, members ada,eve", is as it was but for members that left.
func fewer(is, was string) bool {
	id, members, _ := strings.Cut(is, ", members ")
	wasID, before, _ := strings.Cut(was, ", members ")
	had := strings.Split(before, ",")
	return id == wasID && !slices.ContainsFunc(strings.Split(members, ","), func(m string) bool { return m != "" && !slices.Contains(had, m) })
}

// loopback reports whether a socket, "tcp 127.0.0.1 80", can be reached from the host only.
func loopback(socket string) bool {
	f := strings.Fields(socket)
	if len(f) < 2 {
		return false
	}
	addr, err := netip.ParseAddr(f[1])
	return err == nil && addr.IsLoopback()
}

var nouns = map[Kind]string{
	Listener: "listening socket", User: "account", Group: "group", Sudoers: "rule for sudo", SSHKey: "key", SetUID: "program with its owner's rights", Module: "kernel module",
	USBStorage: "storage on USB", Time: "clock", Updates: "updates", Firewall: "firewall", Encryption: "disk", Unit: "unit that everyone can write", File: "file",
}

func seen(r Record) string {
	if r.Kind == Login {
		return fmt.Sprintf("%d failed log-ins from %s: %s", r.Count, r.Subject, r.Is)
	}
	text := strings.ToUpper(nouns[r.Kind][:1]) + nouns[r.Kind][1:] + " " + r.Subject + " " + r.Change
	if r.Is != "" {
		text += ": " + r.Is
	}
	if r.Was != "" && r.Is != "" {
		text += ", was " + r.Was
	}
	if r.While {
		text += ", while Monban did not run"
	}
	return text
}

// list tells all that is known of a kind.
func (w *Watcher) list(now time.Time, kind Kind) (out []Record) {
	m := meanings[kind]
	for _, subject := range slices.Sorted(maps.Keys(w.known[kind])) {
		if strings.HasPrefix(w.known[kind][subject], gone) {
			continue
		}
		out = append(out, Record{Time: now.UnixNano(), Kind: kind, Change: Present, Subject: subject, Is: w.known[kind][subject],
			Why: m.why, Technique: m.technique, Severity: Info, Device: w.cfg.Device})
	}
	return out
}

// failures tells where log-ins fail from.
func (w *Watcher) failures(now time.Time) (out []Record) {
	if slices.Contains(w.cfg.Off, Login) {
		return nil
	}
	for _, f := range w.login.take(now) {
		r := w.record(now, Login, Failed, f.from, "", f.users())
		m := meanings[Login]
		r.Count, r.Severity = f.n, m.severity
		if w.cfg.Device != "" {
			r.Anomaly = event.Anomaly{Score: score[m.severity], Reasons: []event.Reason{{
				Kind: EvidenceOf(Login), Device: w.cfg.Device, Subject: f.from, Strength: 1, Expected: m.expected, Seen: seen(r),
			}}}
		}
		out = append(out, r)
	}
	return out
}

const version = 1

// MaxWaiting bounds the events that may wait in a state.
const MaxWaiting = 1 << 16

type state struct {
	Version int
	Known   map[Kind]facts
	Listed  time.Time
	Waiting []Record `json:",omitempty"`
}

// Snapshot gives all facts known as JSON, with the events that [Watcher.Look] gave and nobody has taken yet.
func (w *Watcher) Snapshot(waiting []Record) ([]byte, error) {
	return json.Marshal(state{version, w.known, w.listed, waiting})
}

// Restore takes what [Watcher.Snapshot] gave, so that the next look tells what has changed since. It
// returns the events that waited.
func (w *Watcher) Restore(data []byte) (waiting []Record, err error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("reading the facts known of the host: %w", err)
	}
	if s.Version != version {
		return nil, fmt.Errorf("the facts known of the host are of version %d, this program writes %d", s.Version, version)
	}
	if len(s.Waiting) > MaxWaiting {
		return nil, fmt.Errorf("%d events wait, %d are the most", len(s.Waiting), MaxWaiting)
	}
	for i := range s.Waiting {
		if !s.Waiting[i].sane() {
			return nil, errors.New("the events that wait make no sense")
		}
	}
	for kind, found := range s.Known {
		if _, ok := meanings[kind]; !ok || len(found) > maxFacts {
			return nil, errors.New("the facts known of the host make no sense")
		}
		for subject, is := range found {
			if len(subject) > 2*maxText || len(is) > 2*maxText {
				return nil, errors.New("the facts known of the host make no sense")
			}
		}
	}
	w.known, w.listed = s.Known, s.Listed
	if w.known == nil {
		w.known = map[Kind]facts{}
	}
	maps.DeleteFunc(w.known, func(k Kind, _ facts) bool { return slices.Contains(w.cfg.Off, k) })
	for kind, found := range w.known {
		if found == nil {
			w.known[kind] = facts{}
		}
		w.restored[kind] = true
	}
	return s.Waiting, nil
}

// sane reports whether a record can be one of ours.
func (r *Record) sane() bool {
	texts := append([]string{r.Subject, r.Was, r.Is, r.Change, r.Why, r.Severity, r.Device}, r.Technique...)
	for _, e := range r.Anomaly.Reasons {
		texts = append(texts, e.Kind, e.Device, e.Subject, e.Expected, e.Seen)
	}
	return Known(r.Kind) && len(texts) <= 64 && r.Anomaly.Score >= 0 && r.Anomaly.Score <= 1 &&
		!slices.ContainsFunc(texts, func(s string) bool { return len(s) > 16*maxText })
}
