package event

// Reason is one piece of evidence that something is unusual. As an attribute it
// is a map with the keys kind, device, subject, strength, expected and seen.
type Reason struct {
	Kind     string  // what kind of evidence, a word of the evidence reference: "new_service", "port_sweep", …
	Device   string  // id of the device that acts
	Subject  string  // what exactly: a service, peer, command, address; equal subjects are the same finding
	Strength float64 // nats of surprise (novelty), or 0…1 certainty scaled by the evidence's weight for rules; see the evidence reference
	Expected string  // one plain sentence: what is usual
	Seen     string  // one plain sentence: what was seen instead
}

// Anomaly is what the baseline says of one event.
type Anomaly struct {
	Score   float64  // 0 usual … 1 certainly unusual; 0 is not written
	Reasons []Reason // at least one when Score > 0
}

// AnomalyFields are the rows that every judged event kind shares.
func AnomalyFields[R any](at func(*R) *Anomaly) []Field[R] {
	return []Field[R]{
		Real("anomaly.score", "1", "How unusual, 0 to 1; absent when usual", func(r *R) *float64 { return &at(r).Score }),
		{Key: "anomaly.reasons", Kind: Reasons, Elastic: "flattened",
			Doc: "Why: a list of {kind, device, subject, strength, expected, seen}",
			put: func(r *R, s Sink) {
				if v := at(r).Reasons; len(v) > 0 {
					s.PutReasons("anomaly.reasons", v)
				}
			},
			set: func(r *R, v Value) { at(r).Reasons = v.Reasons() },
		},
	}
}
