// Package threat turns unusual things into incidents that explain themselves.
// It promises one report an incident, updated while it goes on, with the class
// that the evidence speaks for most, how sure that is, and what was expected and
// seen; unknown is an answer. Memory is bounded by the number of open incidents.
// It gives up judgement of its own: only evidence that the baseline found counts.
//
// Classification adds evidence up: each kind of evidence gives each class its
// weight in nats times its strength, each class starts at a bias, and the leading
// class is reported once its score is positive.
package threat

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/monban/monban/internal/event"
	"github.com/monban/monban/internal/flow"
)

// Timing of incidents, in nanoseconds of data time.
const (
	idle     = 300e9 // an incident ends after so long without evidence
	patience = 2e9   // a first report waits so long for its class to become clear
	again    = 60e9  // updates are at least so far apart
	late     = 3600e9
	lasting  = 31 * 24 * 3600e9 // an alarm whose end never comes keeps its incident open for so long
)

const (
	maxOpen      = 10000
	maxVictims   = 16
	maxActors    = 32
	maxCommunity = 16
	maxNames     = 65536
	maxLasting   = 256
	maxStrength  = 10.0 // nats; the baseline gives at most 8
	clearMargin  = 1.5  // nats between the first class and the second
)

// Engine holds the open incidents of a site. It is not safe for concurrent use.
type Engine struct {
	now   int64
	open  []*incident            // oldest first
	by    map[string][]*incident // the same by actor
	names map[string]string
	out   []Report
	// Dropped counts evidence that came while maxOpen incidents were open.
	Dropped uint64
}

// New makes an engine with no incident.
func New() *Engine { return &Engine{by: map[string][]*incident{}, names: map[string]string{}} }

// incident is one unusual going-on of one device. Exported fields are its saved state.
type incident struct {
	Report    Report
	Family    string
	Actors    []string // devices by which evidence finds the incident, at most maxActors
	Kinds     map[string]*kind
	Lasting   []alarm // what keeps the incident open without evidence, at most maxLasting
	Least     string  // the severity that it has at least, "" for that of its class
	Heard     int64   // when evidence last came, which for a flow is after its end
	Published int64   // when the last revision was written, 0 for never
	Dirty     bool    // evidence came since
}

// kind is what an incident knows of one kind of evidence.
type kind struct {
	Strength float64 // the strongest
	N        uint64
	Device   string // who acted, by the strongest
	Expected string
	Seen     string
}

// alarm is an observation that has begun and not ended.
type alarm struct {
	Key uint64 // of what it is about, which outlives the observer's state where an id does not
	At  int64  // when it was last told of
}

// Name tells the engine what a device is called.
func (e *Engine) Name(id, name string) {
	if id != "" && name != "" && (len(e.names) < maxNames || e.names[id] != "") {
		e.names[id] = name
	}
}

// Flow takes a judged flow, Observation an observation, and Event whatever else was judged. All need a call
// only where there is an anomaly, but for observations that end. Reports comes after a batch.
func (e *Engine) Flow(r *flow.Record) {
	e.advance(r.End)
	// The inventory tells a device once, and this engine may have lost its state since.
	e.Name(r.Src.Device, r.Src.DeviceName)
	e.Name(r.Dst.Device, r.Dst.DeviceName)
	in := e.evidence(r.End, r.Anomaly.Reasons, r.Src.Device, r.Dst.Device)
	if in == nil {
		return
	}
	rep := &in.Report
	rep.Flows++
	rep.Packets += r.Src.Packets + r.Dst.Packets
	rep.Bytes += r.Src.Bytes + r.Dst.Bytes
	if r.Community != "" && len(rep.Community) < maxCommunity && !slices.Contains(rep.Community, r.Community) {
		rep.Community = append(rep.Community, strings.Clone(r.Community)) // r's lies in the slab of many
	}
	for _, end := range [...]*flow.End{&r.Dst, &r.Src} {
		who := end.Addr.String()
		if end.Device == rep.Device || who == rep.Device || !end.Addr.IsValid() {
			continue
		}
		if end.DeviceName != "" {
			who = end.DeviceName + " (" + who + ")"
		} else if end.Domain != "" {
			who = end.Domain + " (" + who + ")"
		}
		if len(rep.Victims) < maxVictims && !slices.Contains(rep.Victims, who) {
			rep.Victims = append(rep.Victims, who)
		}
		break
	}
}

// Event takes the anomaly of what is neither a flow nor an observation.
func (e *Engine) Event(at int64, a *event.Anomaly) {
	e.advance(at)
	e.evidence(at, a.Reasons)
}

// Tick tells the engine the time of an event that is usual.
func (e *Engine) Tick(at int64) { e.advance(at) }

// advance moves the clock, also back when the data's clock was set back by more
// than the lateness that flow timeouts explain. What comes without a time moves nothing.
func (e *Engine) advance(at int64) {
	if at > e.now || at > 0 && at < e.now-late {
		e.now = at
	}
}

// since is how long ago a time is; what lies in the future is from before the
// clock was set back, and long ago.
func (e *Engine) since(at int64) int64 {
	if d := e.now - at; d >= -late {
		return d
	}
	return math.MaxInt64
}

// evidence adds the reasons of one event to the incident that they belong to:
// that of the device which the most decisive reason names. Who controls what, and
// who is who, concerns both ends of a flow, so there either end leads to it.
func (e *Engine) evidence(at int64, reasons []event.Reason, ends ...string) *incident {
	lead, best := -1, 0.0
	for i, r := range reasons {
		if !sound(r) {
			continue
		}
		if s := weights[r.Kind][0].nats * r.Strength; lead < 0 || s > best {
			lead, best = i, s
		}
	}
	if lead < 0 {
		return nil
	}
	family := familyOf(reasons[lead].Kind)
	actors := []string{reasons[lead].Device}
	if family == control {
		for _, id := range ends {
			if id != "" && id != actors[0] {
				actors = append(actors, id)
			}
		}
	}
	in := e.incident(actors, family, at)
	if in == nil {
		return nil
	}
	for _, r := range reasons {
		if sound(r) {
			in.add(r)
		}
	}
	in.Report.Last = max(in.Report.Last, at)
	in.Report.First = min(in.Report.First, at)
	in.Heard, in.Dirty = e.now, true
	return in
}

// sound reports whether a reason can count: records may come from elsewhere, and
// hold anything.
func sound(r event.Reason) bool {
	return len(weights[r.Kind]) > 0 && r.Device != "" && r.Strength > 0 && r.Strength <= maxStrength
}

// incident finds the open incident of these actors, or opens one.
func (e *Engine) incident(actors []string, family string, at int64) *incident {
	for _, actor := range actors {
		for _, in := range e.by[actor] {
			if in.Family == family {
				e.link(in, actors)
				return in
			}
		}
	}
	if all := e.by[actors[0]]; len(all) > 0 {
		last := all[len(all)-1]
		if family == novel {
			return last
		}
		for _, in := range all {
			if in.Family == novel {
				in.Family = family
				e.link(in, actors)
				return in
			}
		}
	}
	if len(e.open) >= maxOpen {
		e.Dropped++
		return nil
	}
	in := &incident{Family: family, Kinds: map[string]*kind{}, Report: Report{
		ID: reportID(actors[0], family, at), Status: "open", Device: actors[0], First: at, Last: at,
	}}
	e.open = append(e.open, in)
	e.link(in, actors)
	return in
}

// link makes an incident findable by these actors.
func (e *Engine) link(in *incident, actors []string) {
	for _, actor := range actors {
		if len(in.Actors) < maxActors && !slices.Contains(in.Actors, actor) {
			in.Actors = append(in.Actors, actor)
			e.by[actor] = append(e.by[actor], in)
		}
	}
}

// close forgets an incident.
func (e *Engine) close(in *incident) {
	for _, actor := range in.Actors {
		if rest := slices.DeleteFunc(e.by[actor], func(o *incident) bool { return o == in }); len(rest) > 0 {
			e.by[actor] = rest
		} else {
			delete(e.by, actor)
		}
	}
}

// reportID is stable: the same incident of the same data has the same id.
func reportID(actor, family string, at int64) string {
	h := fnv.New64a()
	fmt.Fprint(h, actor, "\x00", family, "\x00", at)
	return fmt.Sprintf("%012x", h.Sum64()&(1<<48-1))
}

func (in *incident) add(r event.Reason) {
	k := in.Kinds[r.Kind]
	if k == nil {
		k = &kind{}
		in.Kinds[r.Kind] = k
	}
	k.N++
	if r.Strength >= k.Strength { // what was seen stands against what was expected there
		k.Strength, k.Expected, k.Seen, k.Device = r.Strength, r.Expected, r.Seen, r.Device
	}
}

// Reports gives what there is to tell since the last call: first reports,
// updates, and ends. Call it after each batch.
func (e *Engine) Reports() []Report {
	e.open = slices.DeleteFunc(e.open, func(in *incident) bool {
		ended := e.since(in.Heard) > idle && !e.lasts(in)
		e.tell(in, ended, false)
		if ended {
			e.close(in)
		}
		return ended
	})
	return e.take()
}

// Flush gives what has not been told yet, as at a graceful end. Incidents stay open.
func (e *Engine) Flush() []Report {
	for _, in := range e.open {
		e.tell(in, false, true)
	}
	return e.take()
}

func (e *Engine) take() []Report {
	out := e.out
	e.out = nil
	slices.SortFunc(out, func(a, b Report) int {
		if a.First != b.First {
			return int(min(max(a.First-b.First, -1), 1))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// tell writes a revision when there is something to say and it is time to.
func (e *Engine) tell(in *incident, ended, flush bool) {
	if !in.Dirty && !(ended && in.Published != 0) {
		return
	}
	rank := in.rank()
	if rank[0].score <= 0 {
		return
	}
	switch {
	case ended || flush:
	case in.Published == 0:
		if rank[0].score-rank[1].score < clearMargin && e.since(in.Report.First) < patience {
			return
		}
	case e.since(in.Published) < again:
		return
	}
	in.Published, in.Dirty = e.now, false
	e.describe(in, rank)
	if ended {
		in.Report.Status = "closed"
	}
	e.out = append(e.out, in.Report)
}

type ranked struct {
	class *Class
	score float64
}

// rank orders the classes by score, ties by the order of Classes.
func (in *incident) rank() []ranked {
	all := make([]ranked, len(Classes))
	for i := range Classes {
		all[i] = ranked{&Classes[i], bias}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Kinds)) { // in order: a sum of floats depends on it
		for _, w := range weights[name] {
			all[classIndex[w.class]].score += w.nats * in.Kinds[name].Strength
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	return all
}

// describe fills the report from the evidence.
func (e *Engine) describe(in *incident, rank []ranked) {
	r, lead := &in.Report, rank[0]
	sum := 0.0
	for _, x := range rank {
		if x.score > bias { // the others have nothing that speaks for them
			sum += math.Exp(x.score - lead.score)
		}
	}
	// Sure of the class, times sure that it is one at all.
	sure := 1 / (1 + math.Exp(-lead.score))
	r.Revision++
	r.Time = r.Last
	r.Class, r.Title = lead.class.Name, lead.class.Title
	r.Confidence = math.Round(sure/sum*100) / 100
	r.Severity = lead.class.Severity
	if r.Confidence < 0.5 {
		r.Severity = lower(r.Severity)
	}
	if in.Least != "" && !AtLeast(r.Severity, in.Least) {
		r.Severity = in.Least
	}
	r.Runner = ""
	if next := rank[1]; next.score > 0 {
		r.Runner = fmt.Sprintf("%s %.2f", next.class.Name, sure*math.Exp(next.score-lead.score)/sum)
	}
	kinds := make([]string, 0, len(in.Kinds))
	for k := range in.Kinds {
		kinds = append(kinds, k)
	}
	worth := func(name string) float64 {
		for _, w := range weights[name] {
			if w.class == lead.class.Name {
				return w.nats * in.Kinds[name].Strength
			}
		}
		return 0
	}
	slices.SortFunc(kinds, func(a, b string) int {
		if x, y := worth(a), worth(b); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	r.Evidence = r.Evidence[:0:0]
	for _, k := range kinds {
		text := k
		if n := in.Kinds[k].N; n > 1 {
			text = fmt.Sprintf("%s ×%d", k, n)
		}
		r.Evidence = append(r.Evidence, text)
	}
	top := in.Kinds[kinds[0]]
	r.Expected, r.Seen, r.Device = top.Expected, top.Seen, top.Device
	r.DeviceName = e.names[r.Device]
	r.Summary = capital(top.Seen) + ". Expected: " + top.Expected + "."
	r.Enterprise, r.ICS, r.Action = lead.class.Enterprise, lead.class.ICS, lead.class.Action
}

func lower(severity string) string {
	all := []string{Low, Medium, High, Critical}
	return all[max(slices.Index(all, severity)-1, 0)]
}

// capital begins a sentence, but leaves the names of devices as they are.
func capital(s string) string {
	for _, word := range []string{"packets ", "nothing ", "many ", "a "} {
		if strings.HasPrefix(s, word) {
			return strings.ToUpper(s[:1]) + s[1:]
		}
	}
	return s
}

// AtLeast reports whether a severity is as high as another. An unknown word is
// the lowest.
func AtLeast(severity, limit string) bool {
	all := []string{Low, Medium, High, Critical}
	return slices.Index(all, severity) >= slices.Index(all, limit)
}

const version = 1

// ErrVersion is returned by [Engine.Restore] for a state of another version.
var ErrVersion = errors.New("the saved incidents are of another version")

type state struct {
	Version int
	Now     int64
	Open    []*incident
	Names   map[string]string
}

// Snapshot gives the open incidents, as JSON, for the next start of the same box.
func (e *Engine) Snapshot() ([]byte, error) {
	return json.Marshal(state{version, e.now, e.open, e.names})
}

// Restore puts back what [Engine.Snapshot] gave, or leaves the engine as it is
// and returns an error.
func (e *Engine) Restore(data []byte) error {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("reading the saved incidents: %w", err)
	}
	if s.Version != version {
		return fmt.Errorf("%w: %d, this program writes %d", ErrVersion, s.Version, version)
	}
	for _, in := range s.Open {
		if !in.sound() {
			return errors.New("reading the saved incidents: an incident makes no sense")
		}
	}
	e.now, e.open, e.by = s.Now, s.Open, byActor(s.Open)
	if e.names = s.Names; e.names == nil {
		e.names = map[string]string{}
	}
	return nil
}
