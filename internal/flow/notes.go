package flow

// Bounds of what one record can note.
const (
	maxQuestions = 16
	maxCommands  = 64
)

// Notes is what the payload of a flow said since its last record. It is made
// only for flows that someone notes something about.
type Notes struct {
	Service       string // application protocol, when the payload shows it
	Questions     []string
	Commands      []string
	CommandCounts []int64

	known map[string]int // command → index, kept over the records of a flow; −1 once reported
}

// Question notes a DNS name that was asked for.
func (n *Notes) Question(name string) {
	for _, q := range n.Questions {
		if q == name {
			return
		}
	}
	if len(n.Questions) < maxQuestions {
		n.Questions = append(n.Questions, name)
	}
}

// Command notes an OT command ("unit/function") and reports whether this flow
// never had it before, so that the caller can [Table.Hurry] the flow's record.
func (n *Notes) Command(name string) (fresh bool) {
	i, known := n.known[name]
	switch {
	case known && i >= 0:
		n.CommandCounts[i]++
		return false
	case !known && len(n.known) >= 4*maxCommands, len(n.Commands) >= maxCommands:
		return false
	}
	if n.known == nil {
		n.known = map[string]int{}
	}
	n.known[name] = len(n.Commands)
	n.Commands = append(n.Commands, name)
	n.CommandCounts = append(n.CommandCounts, 1)
	return !known
}

// take moves the notes into r and forgets them, except for which commands are known.
func (n *Notes) take(r *Record) {
	if n.Service != "" {
		r.Service = n.Service
	}
	r.Questions, r.Commands, r.CommandCounts = n.Questions, n.Commands, n.CommandCounts
	n.Questions, n.Commands, n.CommandCounts = nil, nil, nil
	for c := range n.known {
		n.known[c] = -1
	}
}
