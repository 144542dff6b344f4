package watch

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/near"
	"github.com/monban/monban/internal/threshold"
)

// A rule that selects nothing, or tells nothing apart, looks like one under which all is well. What of its words no data
// has shown in ten minutes is said, once, with what the data has instead.
const (
	patience  = 10 * time.Minute
	maxSeen   = 2000
	maxLooked = 1000   // points or records that are looked at for what they have
	maxNames  = 50     // attributes remembered of a rule's points
	maxValues = 20     // and values of each
	maxText   = 100    // bytes of a name or value; longer ones are not remembered
	maxTexts  = 20_000 // names and values of all rules together
	maxListed = 8      // that one message lists
	// enough points must have come before it counts against a rule that its metric tells too little: rates need two.
	enough = 3
)

// unknown waits for the metrics, attributes and events that rules name, and says which have not come.
type unknown struct {
	since   time.Time
	waiting map[string][]string // names of rules, by what they wait for
	seen    map[string]string   // what came meanwhile, with its unit
	events  map[string]bool     // event names of log records
	said    bool
	records int          // log records that were looked through
	met     map[int]bool // rules whose metric has come
	// conditions is true when a rule has one, so that points must be kept for it.
	conditions bool
}

func newUnknown(rules []threshold.Rule) unknown {
	u := unknown{waiting: map[string][]string{}, met: map[int]bool{}, seen: map[string]string{}, events: map[string]bool{}}
	for i := range rules {
		u.conditions = u.conditions || rules[i].Where != ""
		for _, name := range []string{rules[i].Subject(), rules[i].Partner()} {
			if name != "" {
				u.waiting[name] = append(u.waiting[name], rules[i].Name)
			}
		}
	}
	return u
}

// meet takes the name of something that came.
func (u *unknown) meet(name, unit string) {
	delete(u.waiting, name)
	if _, ok := u.seen[name]; !ok && len(u.seen) < maxSeen {
		u.seen[strings.Clone(name)] = strings.Clone(unit)
	}
}

// event takes the event name of a log record.
func (u *unknown) event(name string) {
	if name != "" && !u.events[name] && len(u.events) < maxSeen {
		u.events[strings.Clone(name)] = true
	}
}

// came takes that a record had what a rule judges, and divides by, also after those that are looked through.
func (u *unknown) came(r *threshold.Rule, judged, divides bool) {
	if len(u.waiting) == 0 {
		return
	}
	if judged {
		delete(u.waiting, r.Attribute)
	}
	if divides {
		delete(u.waiting, r.Over.Attribute)
	}
}

// complain says once what has not come in ten minutes of data, or by the end of a dry run.
func (u *unknown) complain(now time.Time, log *zap.Logger, end bool) {
	if u.said || len(u.waiting) == 0 || len(u.seen) == 0 || !end && (u.since.IsZero() || now.Sub(u.since) < patience) {
		return
	}
	u.said = true
	seen := slices.Collect(maps.Keys(u.seen))
	for _, name := range slices.Sorted(maps.Keys(u.waiting)) {
		log.Warn("A rule waits for "+name+", which has not come"+similar(name, seen, "; nothing that came has a similar name"), zap.Strings("rules", u.waiting[name]))
	}
}

// similar lists what of names looks like name, or gives other.
func similar(name string, names []string, other string) string {
	if like := near.Names(name, names, 3); len(like) > 0 {
		return "; similar: " + strings.Join(like, ", ")
	}
	return other
}

// trial is what is known of a rule until it has shown that it works: that it judged something, and that each of its
// per attributes is there.
type trial struct {
	over  bool // it works, or it was said that it does not
	told  bool // it was said at once that its metric does not fit
	event bool // it is of records of one event

	since   time.Time // when the first of its points came
	records int       // of its event
	points  int       // of its metric, or records with its attribute
	held    int       // those of them that its condition selects
	judged  bool
	has     []bool           // which of its per attributes were there
	attrs   map[string]*attr // what its first points have, nil where nobody asks
	texts   *int             // names and values that all rules remember
}

// attr is what is remembered of an attribute.
type attr struct {
	values   []string
	selected bool   // a point that the condition selects has it
	first    string // and the first of those this value
	varies   bool   // and another another
}

func newTrials(rules []threshold.Rule) []trial {
	all := make([]trial, len(rules))
	texts := new(int)
	for i := range rules {
		r := &rules[i]
		all[i] = trial{event: r.Event != "", has: make([]bool, len(r.Per)), texts: texts}
		if r.Where != "" || len(r.Per) > 0 || r.Event != "" {
			all[i].attrs = map[string]*attr{}
		}
	}
	return all
}

// record takes a log record of the rule's event, which may have the rule's attribute or not.
func (t *trial) record(has bool, attrs pcommon.Map) {
	if !t.event {
		return
	}
	t.records++
	if !has && t.attrs != nil && t.records <= maxLooked {
		for name := range attrs.All() {
			t.attr(name)
		}
	}
}

// comes takes a point of the rule's metric, or a record with its attribute.
func (t *trial) comes(resource, attrs pcommon.Map) {
	if t.points == 0 {
		t.since = time.Now()
	}
	t.points++
	if t.attrs == nil || t.points > maxLooked {
		return
	}
	for _, m := range [...]pcommon.Map{resource, attrs} {
		for name, v := range m.All() {
			if a := t.attr(name); a != nil && len(a.values) < maxValues {
				if s := v.AsString(); !slices.Contains(a.values, s) && t.room(s) {
					a.values = append(a.values, strings.Clone(s))
				}
			}
		}
	}
}

// selected takes a point that the rule's condition selects, and what became of it.
func (t *trial) selected(per []string, resource, attrs pcommon.Map, o threshold.Outcome) {
	t.held++
	t.judged = t.judged || o == threshold.Judged
	whole := true
	for i, name := range per {
		if !t.has[i] {
			if _, t.has[i] = attrs.Get(name); !t.has[i] {
				_, t.has[i] = resource.Get(name)
			}
			whole = whole && t.has[i]
		}
	}
	if t.judged && whole {
		t.end()
		return
	}
	if t.attrs == nil || t.held > maxLooked {
		return
	}
	for _, m := range [...]pcommon.Map{resource, attrs} {
		for name, v := range m.All() {
			if a := t.attr(name); a != nil {
				switch s := v.AsString(); {
				case !a.selected:
					a.selected, a.first = true, strings.Clone(s[:min(len(s), maxText)])
				case a.first != s[:min(len(s), maxText)]:
					a.varies = true
				}
			}
		}
	}
}

// end forgets what is no longer needed.
func (t *trial) end() {
	if t.texts != nil {
		for _, a := range t.attrs {
			*t.texts -= 1 + len(a.values)
		}
	}
	*t = trial{over: true}
}

// attr gives what is remembered of an attribute, nil when there is no room.
func (t *trial) attr(name string) *attr {
	a := t.attrs[name]
	if a == nil && len(t.attrs) < maxNames && t.room(name) {
		a = new(attr)
		t.attrs[strings.Clone(name)] = a
	}
	return a
}

func (t *trial) room(s string) bool {
	if len(s) > maxText || *t.texts >= maxTexts {
		return false
	}
	*t.texts++
	return true
}

// names lists the attributes that were seen, or those of selected points, sorted and without some.
func (t *trial) names(selected bool, without []string) (all []string) {
	for name, a := range t.attrs {
		if (a.selected || !selected) && !slices.Contains(without, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func list(names []string) string {
	if len(names) > maxListed {
		return strings.Join(names[:maxListed], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// complain says once what has not come, and which rules judge nothing or tell nothing apart, after ten minutes of data or at the
// end of a dry run.
func (w *Watch) complain(now time.Time, end bool) {
	w.named.complain(now, w.log, end)
	for i := range w.trials {
		t := &w.trials[i]
		since := t.since
		if t.points == 0 {
			since = w.named.since
		}
		if t.over || len(w.named.seen) == 0 || !end && (since.IsZero() || now.Sub(since) < patience) {
			continue
		}
		said := false
		if t.judged {
			said = w.doubtPer(i)
		} else if why := w.doubt(i, end); why != "" {
			w.log.Warn(why, zap.String("rule", w.conf[i].Name))
			said = true
		}
		if said {
			t.end()
		}
	}
}

// doubt says why a rule has judged nothing, "" where nothing more is to be said.
func (w *Watch) doubt(i int, end bool) string {
	r, t, tally := &w.conf[i], &w.trials[i], w.engine.Tally(i)
	what := "points"
	if w.set.Signal == Logs {
		what = "records"
	}
	const nothing = "A rule has judged nothing: "
	switch {
	case t.points == 0 && t.event && t.records == 0:
		return "A rule waits for the event " + r.Event + ", which has not come" +
			similar(r.Event, slices.Collect(maps.Keys(w.named.events)), "; no event that came has a similar name")
	case t.points == 0 && t.event && w.named.waiting[r.Attribute] == nil:
		names := t.names(false, nil)
		return fmt.Sprintf("%snone of the %d records of the event %s has the attribute %s%s", nothing, t.records, r.Event, r.Attribute,
			similar(r.Attribute, names, "; they have "+list(names)))
	case t.points == 0:
		return ""
	case t.held == 0 && tally.Points[threshold.BadCondition] >= uint64(t.points):
		return fmt.Sprintf("%swhere could not be evaluated for any of the %d %s that came", nothing, t.points, what)
	case t.held == 0:
		return fmt.Sprintf("%swhere holds for none of the %d %s that came%s", nothing, t.points, what, t.meant(r.Where))
	case t.told && tally.Points[threshold.NoValue] >= uint64(t.held), t.held < enough && !end:
		return ""
	}
	var outcomes []string
	for o := threshold.Judged + 1; int(o) < len(tally.Points); o++ {
		if n := tally.Points[o]; n > 0 {
			outcomes = append(outcomes, fmt.Sprintf("%d %s", n, o))
		}
	}
	return nothing + "of what came " + strings.Join(outcomes, ", ")
}

// doubtPer names the per attributes that none of a rule's points has. It is only by the way where others are there and all
// that is left out is the same everywhere: then it is another name for one of these, and nobody is taken for somebody else.
func (w *Watch) doubtPer(i int) (said bool) {
	r, t := &w.conf[i], &w.trials[i]
	others := t.names(true, r.Per)
	advice := "; they have no others"
	if len(others) > 0 {
		advice = "; they have " + list(others)
	}
	merged := !slices.Contains(t.has, true) || slices.ContainsFunc(others, func(name string) bool { return t.attrs[name].varies })
	for k, name := range r.Per {
		if t.has[k] {
			continue
		}
		like := near.Names(name, others, 3)
		say := w.log.Info
		if merged || len(like) > 0 {
			say = w.log.Warn
		}
		say("A rule tells entities apart by "+name+", which none of its points has"+similar(name, others, advice), zap.String("rule", r.Name))
		said = true
	}
	return said
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// meant says of the texts in a condition what the data has instead.
func (t *trial) meant(where string) string {
	var names, all []string
	for name, a := range t.attrs {
		names = append(names, name)
		all = append(append(all, name), a.values...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	var b strings.Builder
	var done []string
	for _, q := range quoted.FindAllString(where, maxListed) {
		word, err := strconv.Unquote(q)
		if err != nil || slices.Contains(done, word) {
			continue
		}
		done = append(done, word)
		switch {
		case slices.Contains(names, word):
			values := slices.Sorted(slices.Values(t.attrs[word].values))
			b.WriteString("; " + word + " is " + list(values))
		case !slices.Contains(all, word):
			if like := near.Names(word, all, 3); len(like) > 0 {
				b.WriteString("; similar to " + q + ": " + strings.Join(like, ", "))
			}
		}
	}
	return b.String()
}
