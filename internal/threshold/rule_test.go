package threshold

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestBadRules holds that what can't work is refused, in words that say what to do.
func TestBadRules(t *testing.T) {
	good := func(edit func(*Rule)) Rule {
		r := Rule{Name: "r", Metric: "m", Bounds: Bounds{Above: ptr(0.8)}}
		edit(&r)
		return r
	}
	for name, c := range map[string]struct {
		rule Rule
		want []string // none for a good one
	}{
		"above":           {good(func(*Rule) {}), nil},
		"no name":         {good(func(r *Rule) { r.Name = "" }), []string{"rules[0]: name is missing"}},
		"nothing":         {Rule{Name: "r"}, []string{"metric, or attribute", "can never fire"}},
		"both":            {good(func(r *Rule) { r.Attribute = "a" }), []string{"exclude each other"}},
		"event of metric": {good(func(r *Rule) { r.Event = "e" }), []string{"metrics have none"}},
		"unit of logs":    {Rule{Name: "r", Attribute: "a", Unit: "By", Bounds: Bounds{Above: ptr(1)}}, []string{"unit is of metrics"}},
		"value of logs":   {Rule{Name: "r", Attribute: "a", Value: "p99", Bounds: Bounds{Above: ptr(1)}}, []string{"value is of histograms"}},
		"no bound":        {Rule{Name: "r", Metric: "m", For: time.Minute, Rate: "second"}, []string{"can never fire", "for does nothing", "rate does nothing"}},
		"two bounds":      {good(func(r *Rule) { r.Bounds.Below = ptr(0.1) }), []string{"for both sides use outside"}},
		"clear above":     {good(func(r *Rule) { r.Bounds.Clear = ptr(0.9) }), []string{"clear is 0.9 and above is 0.8", "must not be larger"}},
		"clear below":     {Rule{Name: "r", Metric: "m", Bounds: Bounds{Below: ptr(0.2), Clear: ptr(0.1)}}, []string{"must not be smaller"}},
		"outside of one":  {Rule{Name: "r", Metric: "m", Bounds: Bounds{Outside: []float64{1}}}, []string{"takes two numbers"}},
		"outside turned":  {Rule{Name: "r", Metric: "m", Bounds: Bounds{Outside: []float64{2, 1}}}, []string{"2 is not smaller than 1"}},
		"clear outside":   {Rule{Name: "r", Metric: "m", Bounds: Bounds{Outside: []float64{1, 2}, Clear: ptr(1)}}, []string{"cleared by clear_within"}},
		"clear_within":    {Rule{Name: "r", Metric: "m", Bounds: Bounds{Outside: []float64{1, 2}, ClearWithin: []float64{0, 2}}}, []string{"must lie inside"}},
		"clear_within of three": {Rule{Name: "r", Metric: "m", Bounds: Bounds{Outside: []float64{1, 2}, ClearWithin: []float64{1, 1.5, 2}}},
			[]string{"clear_within takes two numbers"}},
		"clear_within alone": {good(func(r *Rule) { r.Bounds.ClearWithin = []float64{1, 2} }), []string{"belongs to outside"}},
		"NaN":                {good(func(r *Rule) { r.Bounds.Above = ptr(math.NaN()) }), []string{"above is NaN"}},
		"infinite":           {good(func(r *Rule) { r.Bounds.Above = ptr(math.Inf(1)) }), []string{"above is +Inf"}},
		"severity":           {good(func(r *Rule) { r.Severity = "bad" }), []string{`severity is "bad", it must be info, warn, error, critical`}},
		"steps":              {Rule{Name: "r", Metric: "m", Steps: []Step{{"warn", Bounds{Above: ptr(1)}}, {"critical", Bounds{Above: ptr(2)}}}}, nil},
		"steps of info":      {Rule{Name: "r", Metric: "m", Steps: []Step{{"info", Bounds{Below: ptr(2), Clear: ptr(4)}}, {"error", Bounds{Below: ptr(1), Clear: ptr(3)}}}}, nil},
		"steps and bounds":   {good(func(r *Rule) { r.Steps = []Step{{"warn", Bounds{Above: ptr(1)}}} }), []string{"bounds of the rule and steps exclude"}},
		"steps and severity": {Rule{Name: "r", Metric: "m", Severity: "warn", Steps: []Step{{"warn", Bounds{Above: ptr(1)}}}}, []string{"each step has its own"}},
		"step back":          {Rule{Name: "r", Metric: "m", Steps: []Step{{"warn", Bounds{Above: ptr(2)}}, {"error", Bounds{Above: ptr(1)}}}}, []string{"steps[1]: its bound is not beyond"}},
		"step milder":        {Rule{Name: "r", Metric: "m", Steps: []Step{{"error", Bounds{Above: ptr(1)}}, {"warn", Bounds{Above: ptr(2)}}}}, []string{"warn is not more severe than error"}},
		"step turned":        {Rule{Name: "r", Metric: "m", Steps: []Step{{"warn", Bounds{Above: ptr(1)}}, {"error", Bounds{Below: ptr(0)}}}}, []string{"all steps of a rule look the same way"}},
		"step cleared late":  {Rule{Name: "r", Metric: "m", Steps: []Step{{"warn", Bounds{Above: ptr(2)}}, {"error", Bounds{Above: ptr(3), Clear: ptr(1)}}}}, []string{"cleared later than the step before"}},
		"five steps": {Rule{Name: "r", Metric: "m", Steps: []Step{{"info", Bounds{Above: ptr(1)}}, {"warn", Bounds{Above: ptr(2)}}, {"error", Bounds{Above: ptr(3)}},
			{"critical", Bounds{Above: ptr(4)}}, {"critical", Bounds{Above: ptr(5)}}}}, []string{"at most 4"}},
		"step without bound": {Rule{Name: "r", Metric: "m", Steps: []Step{{"warn", Bounds{}}}}, []string{"steps[0]: it has no bound"}},
		"never below":        {Rule{Name: "r", Metric: "m", Value: "count", Bounds: Bounds{Below: ptr(0)}}, []string{"can never fire: count of m is never below 0"}},
		"value":              {good(func(r *Rule) { r.Value = "median" }), []string{`value is "median"`}},
		"quantile":           {good(func(r *Rule) { r.Value = "p100" }), []string{"p0.1 to p99.9"}},
		"rate":               {good(func(r *Rule) { r.Rate = "day" }), []string{"second, minute or hour"}},
		"rate of a quantile": {good(func(r *Rule) { r.Rate, r.Value = "second", "p99" }), []string{"only its count and its sum have a rate"}},
		"over itself":        {good(func(r *Rule) { r.Over.Metric = "m" }), []string{"always 1"}},
		"over another kind":  {good(func(r *Rule) { r.Over.Attribute = "a" }), []string{"a metric is divided by a metric"}},
		"over nothing":       {good(func(r *Rule) { r.Over.MaxAge = time.Second }), []string{"by which metric"}},
		"over a histogram":   {good(func(r *Rule) { r.Over.Metric, r.Value = "n", "p50" }), []string{"over and value exclude"}},
		"share":              {good(func(r *Rule) { r.Share = Share{AtLeast: 80, Of: time.Minute} }), []string{"at_least is 80, it must be above 0 and at most 1"}},
		"share clear":        {good(func(r *Rule) { r.Share = Share{AtLeast: 0.5, Clear: 0.8, Of: time.Minute} }), []string{"must not be above at_least"}},
		"share of nothing":   {good(func(r *Rule) { r.Share = Share{AtLeast: 0.5} }), []string{"of is 0s"}},
		"share and clear":    {good(func(r *Rule) { r.Share, r.Bounds.Clear = Share{AtLeast: 0.5, Of: time.Minute}, ptr(0.1) }), []string{"use share.clear"}},
		"share and steps": {Rule{Name: "r", Metric: "m", Share: Share{AtLeast: 0.5, Of: time.Minute}, Steps: []Step{{"warn", Bounds{Above: ptr(1)}}, {"error", Bounds{Above: ptr(2)}}}},
			[]string{"share and steps exclude"}},
		"for":         {good(func(r *Rule) { r.For = -1 }), []string{"for is -1ns"}},
		"missing_for": {good(func(r *Rule) { r.MissingFor = time.Millisecond }), []string{"missing_for is 1ms, it must be at least 1s"}},
		"no unit": {good(func(r *Rule) {
			r.For, r.ClearFor, r.MissingFor, r.Flapping, r.Over, r.Share = 120, 60, 300, Flapping{4, 1800}, Over{Metric: "n", MaxAge: 90}, Share{AtLeast: 0.5, Of: 600}
		}), []string{"for is 120ns, which is too short: has it no unit?", "write 120s for seconds", "clear_for is 60ns", "missing_for is 300ns",
			"flapping: within is 1.8µs", "write 1800s", "over: max_age is 90ns", "share: of is 600ns"}},
		"shortest": {good(func(r *Rule) {
			r.For, r.ClearFor, r.Flapping, r.Over = time.Millisecond, time.Millisecond, Flapping{4, time.Millisecond}, Over{Metric: "n", MaxAge: time.Millisecond}
		}), nil},
		"flapping":        {good(func(r *Rule) { r.Flapping = Flapping{Changes: 2} }), []string{"changes is 2", "within is 0s"}},
		"per twice":       {good(func(r *Rule) { r.Per = []string{"a", "a", ""} }), []string{"a stands there twice", "is empty"}},
		"entities":        {good(func(r *Rule) { r.MaxEntities = -1 }), []string{"max_entities is -1"}},
		"do":              {good(func(r *Rule) { r.Do = []string{"drop", Pass, Pass} }), []string{`"drop" is not known`, "pass stands there twice"}},
		"zone":            {good(func(r *Rule) { r.Schedule = Schedule{Zone: "Berlin", Active: []Hours{{}}} }), []string{`zone "Berlin" is not known`}},
		"zone of nothing": {good(func(r *Rule) { r.Schedule = Schedule{Zone: "UTC"} }), []string{"zone does nothing"}},
		"time of day":     {good(func(r *Rule) { r.Schedule = Schedule{Active: []Hours{{From: "8am", To: "25:00"}}} }), []string{`from is "8am"`, `to is "25:00"`}},
		"day":             {good(func(r *Rule) { r.Schedule = Schedule{Quiet: []Hours{{Days: []string{"funday"}}}} }), []string{`"funday" is not known`}},
		"always quiet":    {good(func(r *Rule) { r.Schedule = Schedule{Quiet: []Hours{{}}} }), []string{"no hour in which it may"}},
		"hours too short": {good(func(r *Rule) {
			r.For = 2 * time.Hour
			r.Schedule = Schedule{Active: []Hours{{From: "08:00", To: "09:00"}}}
		}), []string{"can never fire: for is 2h0m0s, but the longest time that its schedule allows is 1h0m0s"}},
		"days in upper": {good(func(r *Rule) {
			r.Schedule = Schedule{Active: []Hours{{Days: []string{"Mon"}, From: "22:00", To: "06:00"}}}
		}), nil},
		"missing, too":      {good(func(r *Rule) { r.MissingFor = time.Minute }), nil},
		"only missing":      {Rule{Name: "r", Metric: "m", MissingFor: time.Minute, Severity: "critical"}, nil},
		"missing with flap": {Rule{Name: "r", Metric: "m", MissingFor: time.Minute, Flapping: Flapping{3, time.Minute}}, []string{"flapping does nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check([]Rule{c.rule})
			if len(c.want) == 0 && err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say %q", err, w)
				}
			}
		})
	}
	twice := []Rule{good(func(*Rule) {}), good(func(*Rule) {})}
	if err := Check(twice); err == nil || !strings.Contains(err.Error(), `rule "r": rules[0] and rules[1] have the same name`) {
		t.Error(err)
	}
	if err := Check(nil); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Error(err)
	}
	if err := Check(make([]Rule, maxRules+1)); err == nil || !strings.Contains(err.Error(), "at most 1000") {
		t.Error("more rules than are allowed")
	}
}

func FuzzClockTime(f *testing.F) {
	for _, s := range []string{"07:30", "24:00", "24:01", "7:5", "-1:00", "", "1:234"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := clockTime(s)
		if err == nil && (m < 0 || m > day) {
			t.Errorf("%q is minute %d", s, m)
		}
	})
}
