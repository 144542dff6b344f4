package flow

import "math/bits"

// Bounds of what one record can note.
const (
	maxQuestions = 16
	maxCommands  = 64
	maxKnown     = 4 * maxCommands // that a flow remembers over its records
)

// The budget of all notes of a table, in bytes. What a flow notes waits for its record,
// the first of which comes within three seconds: a name in each of fifty thousand new
// flows a second takes less than half. Only what is made to fill it gets further. It
// is no share of MaxFlows, because most flows of a table are silent, and hold nothing.
const (
	maxNotes = 64 << 20
	maxNames = maxNotes / 4 * 3 // so that nobody hides orders to controllers behind names
	hurried  = maxNotes / 2     // from here on who notes something has a record within a second, and its notes are freed
)

// notes is what the payload of a flow said since its last record. It is made only
// for flows of which something is noted.
type notes struct {
	questions []string
	commands  []string
	counts    []int64
	known     map[string]int // command → index, kept over the records of a flow; −1 once reported
	bytes     int            // what it takes, by estimate
}

// notebook has the notes of all flows, within maxNotes.
type notebook struct {
	services []string // by index in entry; 0 for none
	of       map[int32]*notes
	none     notes // of a flow that noted nothing; never written
	bytes    int
	left     uint64 // questions and commands that were not noted for lack of room
}

func newNotebook() notebook { return notebook{services: []string{""}, of: map[int32]*notes{}} }

// noteBytes is what notes take in which nothing is noted: themselves, and their place in
// the notebook's map when that is half full.
const noteBytes = 96 + 40

// textBytes is what the bytes of a text take.
func textBytes(s string) int { return (len(s) + 15) &^ 15 }

// sliceBytes is what n elements of a size take in a slice that doubles.
func sliceBytes(n, size int) int {
	if n == 0 {
		return 0
	}
	return size << bits.Len(uint(n-1))
}

// knownBytes is what a map of n commands takes: groups of eight, of which seven are
// used at most once there are several, with a byte beside each key and index.
func knownBytes(n int) int {
	const head, slot = 48, 16 + 8 + 2
	switch {
	case n == 0:
		return 0
	case n <= 8:
		return head + 8*slot
	}
	return 2*head + sliceBytes((8*n+6)/7, slot)
}

// NoteService says which application protocol the payload of the flow in slot shows.
// There may be 255 different ones.
func (t *Table) NoteService(slot int32, name string) {
	b, e := &t.notes, t.at(slot)
	if b.services[e.service] == name {
		return
	}
	for i, s := range b.services {
		if s == name {
			e.service = uint8(i)
			return
		}
	}
	if i := len(b.services); i <= 255 {
		b.services = append(b.services, name)
		e.service = uint8(i)
	}
}

// NoteQuestion notes a DNS name that the flow in slot asked for.
func (t *Table) NoteQuestion(slot int32, name string) {
	b, e := &t.notes, t.at(slot)
	n := b.get(e, slot)
	for _, q := range n.questions {
		if q == name {
			return
		}
	}
	asked := len(n.questions)
	if asked >= maxQuestions {
		return
	}
	cost := sliceBytes(asked+1, 16) - sliceBytes(asked, 16) + textBytes(name)
	if n = b.room(e, slot, cost, maxNames); n == nil {
		return
	}
	n.questions = append(n.questions, name)
	if b.bytes > hurried {
		t.Hurry(slot)
	}
}

// NoteCommand notes an OT command ("unit/function") of the flow in slot. The record of
// a flow that never had it before comes within a second.
func (t *Table) NoteCommand(slot int32, name string) {
	b, e := &t.notes, t.at(slot)
	n := b.get(e, slot)
	i, known := n.known[name]
	had, told := len(n.known), len(n.commands)
	switch {
	case known && i >= 0:
		n.counts[i]++
		return
	case !known && had >= maxKnown, told >= maxCommands:
		return
	}
	cost := sliceBytes(told+1, 16+8) - sliceBytes(told, 16+8)
	if !known {
		cost += knownBytes(had+1) - knownBytes(had) + textBytes(name)
	}
	if n = b.room(e, slot, cost, maxNotes); n == nil {
		return
	}
	if n.known == nil {
		n.known = map[string]int{}
	}
	n.known[name] = told
	n.commands = append(n.commands, name)
	n.counts = append(n.counts, 1)
	if !known || b.bytes > hurried {
		t.Hurry(slot)
	}
}

// get gives the notes of a flow to read.
func (b *notebook) get(e *entry, slot int32) *notes {
	if e.noted {
		return b.of[slot]
	}
	return &b.none
}

// room makes room for so many bytes in the notes of a flow and gives these, or nil and
// counts that there is none. What may be a part of a flood has half of the budget: most
// of it is rolled up, and its notes are told nowhere.
func (b *notebook) room(e *entry, slot int32, more, limit int) *notes {
	if !e.noted {
		more += noteBytes
	}
	if e.flood != 0 {
		limit = min(limit, hurried)
	}
	if b.bytes+more > limit {
		b.left++
		return nil
	}
	if !e.noted {
		e.noted = true
		b.of[slot] = &notes{}
	}
	n := b.of[slot]
	n.bytes += more
	b.bytes += more
	return n
}

// take moves what a flow noted into r and frees it. Which commands are known stays
// while there is room; without, they are news again.
func (b *notebook) take(e *entry, slot int32, r *Record) {
	r.Service = b.services[e.service]
	if !e.noted {
		return
	}
	n := b.of[slot]
	r.Questions, r.Commands, r.CommandCounts = n.questions, n.commands, n.counts
	if len(n.known) == 0 || b.bytes > hurried {
		b.drop(e, slot)
		return
	}
	n.questions, n.commands, n.counts = nil, nil, nil
	bytes := noteBytes + knownBytes(len(n.known))
	for c := range n.known {
		n.known[c] = -1
		bytes += textBytes(c)
	}
	b.bytes += bytes - n.bytes
	n.bytes = bytes
}

// drop forgets the notes of a flow.
func (b *notebook) drop(e *entry, slot int32) {
	if e.noted {
		b.bytes -= b.of[slot].bytes
		delete(b.of, slot)
		e.noted = false
	}
}
