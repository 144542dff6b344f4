// Package posture tells what of a computer matters for its security, and what of that has
// changed: who may log in, what listens, what runs with more rights than its user has, what
// guards it, and who tries to get in.
//
// It promises that a change is told once, also one that came while nobody looked, as the
// facts known outlive a restart; that what can't be read is no change; that a secret (a
// password, a key) never gets into an event; and a bound on facts, events and time: little is
// read unless the kernel says that a file changed, and a walk of the disks rests between its
// steps. It gives up what came and went between two looks.
package posture

import (
	"slices"

	"github.com/monban/monban/internal/event"
)

// Kind is a kind of fact.
type Kind string

// Kinds.
const (
	Listener   Kind = "listener"
	User       Kind = "user"
	Group      Kind = "group"
	Sudoers    Kind = "sudoers"
	SSHKey     Kind = "ssh_key"
	SetUID     Kind = "setuid"
	Module     Kind = "module"
	USBStorage Kind = "usb_storage"
	Time       Kind = "time"
	Updates    Kind = "updates"
	Firewall   Kind = "firewall"
	Encryption Kind = "encryption"
	Unit       Kind = "unit"
	File       Kind = "file"
	Login      Kind = "login"
)

// Changes.
const (
	Present = "present" // it is so: of the list once a day
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
	Failed  = "failed" // of log-ins
)

// Severities.
const (
	Info  = "info"
	Warn  = "warn"
	Error = "error"
)

// What some facts are.
const (
	synchronised    = "synchronised"
	notSynchronised = "not synchronised"
	firewallOn      = "has rules"
	firewallOff     = "has no rules"
	encrypted       = "encrypted"
	notEncrypted    = "not encrypted"
)

// Record is one fact, as it is or as it changed.
type Record struct {
	Time      int64 // Unix nanoseconds; the log record's timestamp
	Kind      Kind
	Change    string
	Subject   string // what it is about: a user, a path, a socket
	Was, Is   string // what is known of it; "" where it was not, or is no more
	While     bool   // it changed while nobody looked: before this start
	Count     uint64 // of failed log-ins
	Why       string
	Technique []string
	Severity  string
	Device    string // inventory id of the host
	Anomaly   event.Anomaly
}

// Records is the one definition of a posture event.
var Records = event.NewTable("host.posture", "A fact about the host that matters for its security: when it changes, and all of them once a day.", []event.Field[Record]{
	event.Text("posture.kind", "listener, user, group, sudoers, ssh_key, setuid, module, usb_storage, time, updates, firewall, encryption, unit, file or login", func(r *Record) *Kind { return &r.Kind }),
	event.Text("posture.change", "added, changed or removed; present in the daily list; failed for log-ins", func(r *Record) *string { return &r.Change }),
	event.Text("posture.subject", "What it is about: a user, a path, a socket, a module, where log-ins come from", func(r *Record) *string { return &r.Subject }),
	event.Text("posture.was", "What was known of it before", func(r *Record) *string { return &r.Was }),
	event.Text("posture.is", "What is known of it now", func(r *Record) *string { return &r.Is }),
	event.Flag("posture.while_stopped", "It changed while Monban did not run", func(r *Record) *bool { return &r.While }),
	event.Number("posture.count", "{attempt}", "Failed log-ins", func(r *Record) *uint64 { return &r.Count }),
	event.Text("posture.why", "Why it matters", func(r *Record) *string { return &r.Why }),
	event.Texts("threat.technique.enterprise", "ATT&CK Enterprise technique that it can serve", func(r *Record) *[]string { return &r.Technique }),
	event.Text("posture.severity", "info, warn or error", func(r *Record) *string { return &r.Severity }),
	event.Text("device.id", "Inventory id of the host, as flows have it", func(r *Record) *string { return &r.Device }),
}, event.AnomalyFields(func(r *Record) *event.Anomaly { return &r.Anomaly }))

// meaning is what a change of a kind means.
type meaning struct {
	severity  string // of what was added or became worse
	technique []string
	why       string
	expected  string // "" when a change is no evidence of an attack
}

var meanings = map[Kind]meaning{
	Listener: {Warn, []string{"T1133 External Remote Services"}, "what listens can be reached and attacked; malware opens ports to be called", "no program listens there"},
	User:     {Error, []string{"T1136.001 Local Account"}, "who has an account can come back; one with the number 0 may do everything", "the accounts that were there"},
	Group:    {Warn, []string{"T1098.007 Additional Local or Domain Groups"}, "members of groups such as sudo, docker and disk may do what only the administrator should", "the members that the group had"},
	Sudoers:  {Error, []string{"T1548.003 Sudo and Sudo Caching"}, "it says who may act as the administrator", "the rules that were there"},
	SSHKey:   {Error, []string{"T1098.004 SSH Authorized Keys"}, "who has the key logs in without a password", "the keys that were there"},
	SetUID:   {Error, []string{"T1548.001 Setuid and Setgid"}, "whoever runs it has the rights of its owner", "the programs with such rights that were there"},
	Module:   {Warn, []string{"T1547.006 Kernel Modules and Extensions"}, "code in the kernel may do everything, and hide itself", "the modules that were loaded before"},
	USBStorage: {Warn, []string{"T1091 Replication Through Removable Media"}, "what is on it came past the network, and what is copied to it leaves past it",
		"no storage on USB"},
	Time:       {Warn, nil, "what a wrong clock records can't be matched with what others saw, and certificates are judged wrongly", ""},
	Updates:    {Info, []string{"T1068 Exploitation for Privilege Escalation"}, "known holes stay open until updates are in place", ""},
	Firewall:   {Error, []string{"T1562.004 Disable or Modify System Firewall"}, "without rules everyone reaches all that listens", "rules that filter packets"},
	Encryption: {Warn, []string{"T1005 Data from Local System"}, "who takes the disk can read it", ""},
	Unit:       {Error, []string{"T1543.002 Systemd Service"}, "any user can make it start a program as the administrator", "units that only the administrator can write"},
	File:       {Error, []string{"T1565.001 Stored Data Manipulation"}, "the file was chosen to stay as it is", "the file as it was"},
	Login:      {Error, []string{"T1110 Brute Force"}, "passwords are being guessed", "few failed log-ins"},
}

// Known reports whether there is such a kind.
func Known(k Kind) bool { _, ok := meanings[k]; return ok }

// Kinds lists all kinds in order.
func Kinds() (all []string) {
	for k := range meanings {
		all = append(all, string(k))
	}
	slices.Sort(all)
	return all
}

// EvidenceOf is the kind of evidence that a change of a kind is, "" for none.
func EvidenceOf(k Kind) string {
	if meanings[k].expected == "" {
		return ""
	}
	return "host_" + string(k)
}

// Definition says what a kind of evidence means, for the reference page.
type Definition struct{ Kind, Doc string }

// Definitions lists every kind of evidence that changes of a host are.
func Definitions() []Definition {
	return []Definition{
		{EvidenceOf(Listener), "A program of the host listens where none did"},
		{EvidenceOf(User), "The host has a new account, or one has other rights"},
		{EvidenceOf(Group), "A group of the host has a new member"},
		{EvidenceOf(Sudoers), "A new rule says who may act as the host's administrator"},
		{EvidenceOf(SSHKey), "A new key opens an account of the host"},
		{EvidenceOf(SetUID), "A new program of the host runs with its owner's rights"},
		{EvidenceOf(Module), "A module of the kernel was loaded that never was"},
		{EvidenceOf(USBStorage), "Storage on USB was mounted"},
		{EvidenceOf(Firewall), "The host's firewall has no rules any more"},
		{EvidenceOf(Unit), "A unit that starts programs became writable for everyone"},
		{EvidenceOf(File), "A file that is watched was changed, added or removed"},
		{EvidenceOf(Login), "Log-ins to the host fail one after the other"},
	}
}
