package dashboard

// Columns, values and conditions that several panels have.
var (
	// news leaves out that an observation goes on, which is told every four minutes
	news               = HasIf("observation.id", "observation.phase")
	observationColumns = []string{"observation.phase", "observation.severity", "observation.rule", "metric.name", "observation.entity", "observation.value", "observation.low", "observation.high", "observation.duration", "observation.summary"}
	// the meter's last minute beside what was expected for it, hour by hour
	expectedAgainstSeen = []Value{Mean("forecast.value", "seen"), Mean("forecast.expected", "expected"), Mean("forecast.low", "nearly always more than"), Mean("forecast.high", "and less than")}
)

// thresholds is of what leaves its bounds: those of rules, and those that were learned of metrics.
func thresholds() Dashboard {
	ofRules := Has("observation.rule")
	learned := Is("observation.kind", "spike", "level_shift", "variance", "stuck", "missing_season", "drift")
	return Dashboard{ID: "thresholds", Title: "Thresholds", Answers: "Which values are past their bounds, since when, and what do metrics do that they never did?", Panels: []Panel{
		{ID: "raised", Title: "Alarms of rules", Answers: "How many values rose past a rule's bound?", Shape: Number, Width: 6, Events: []string{observations}, Where: []Condition{ofRules, Is("observation.phase", "rise")}, Values: []Value{Distinct("observation.id", "alarms")}},
		{ID: "ended", Title: "Of these well again", Answers: "How many ended?", Shape: Number, Width: 6, Events: []string{observations}, Where: []Condition{ofRules, Is("observation.phase", "fall")}, Values: []Value{Distinct("observation.id", "alarms")}},
		{ID: "grave", Title: "Grave alarms", Answers: "How many are errors or critical?", Shape: Number, Width: 6, Events: []string{observations}, Where: []Condition{ofRules, Is("observation.severity", "error", "critical")}, Values: []Value{Distinct("observation.id", "alarms")}},
		{ID: "flapping", Title: "Flapping", Answers: "How many values rise and fall so often that it is said once?", Shape: Number, Width: 6, Events: []string{observations}, Where: []Condition{ofRules, Is("observation.phase", "flapping")}, Values: []Value{Distinct("observation.id", "alarms")}, Quiet: true},
		{ID: "time", Title: "Rises, changes and falls over time", Answers: "When did alarms begin, and when did they end?", Shape: Lines, Events: []string{observations}, Where: []Condition{ofRules}, Values: []Value{Count("events")}, By: []Split{{"observation.phase", "phase", 5}}},
		{ID: "values", Title: "Values told, by rule", Answers: "How far out is it?", Shape: Lines, Events: []string{observations}, Where: []Condition{ofRules}, Values: []Value{Mean("observation.value", "value")}, By: []Split{{"observation.rule", "rule", 10}}},
		{ID: "rules", Title: "Alarms by rule", Answers: "Which rule speaks most? One that never stops has a wrong bound.", Shape: Bars, Width: 12, Events: []string{observations}, Where: []Condition{ofRules}, Values: []Value{Distinct("observation.id", "alarms")}, By: []Split{{"observation.rule", "rule", 20}}},
		{ID: "entities", Title: "Alarms by what is watched", Answers: "Which host, processor or disk is it, and for how long?", Shape: Table, Width: 12, Events: []string{observations}, Where: []Condition{ofRules},
			Values: []Value{Distinct("observation.id", "alarms"), Max("observation.duration", "longest"), Max(timestamp, "last told")}, By: []Split{{"observation.rule", "rule", 20}, {"observation.entity", "what", 20}, {"observation.severity", "severity", 4}}},
		{ID: "latest", Title: "Latest alarms", Answers: "What happened, and is it over?", Shape: Rows, Events: []string{observations}, Where: []Condition{ofRules}, Columns: observationColumns},
		{ID: "kinds", Title: "Learned: what is unusual of metrics", Answers: "Which kinds of change were there that no rule asked for?", Shape: Bars, Width: 12, Events: []string{observations}, Where: []Condition{learned}, Values: []Value{Distinct("observation.id", "observations")}, By: []Split{{"observation.kind", "kind", 10}}},
		{ID: "metrics", Title: "Learned: by metric", Answers: "Which metric is out of the usual, how often, and how far?", Shape: Table, Width: 12, Events: []string{observations}, Where: []Condition{learned},
			Values: []Value{Distinct("observation.id", "observations"), Max("anomaly.score", "greatest score"), Max(timestamp, "last told")}, By: []Split{{"metric.name", "metric", 20}, {"observation.kind", "kind", 6}, {"observation.entity", "of", 10}}},
		{ID: "learned", Title: "Learned: latest", Answers: "What was expected, and what came?", Shape: Rows, Events: []string{observations}, Where: []Condition{learned, news},
			Columns: []string{"observation.phase", "observation.kind", "metric.name", "observation.entity", "device.id", "observation.value", "observation.expected", "observation.low", "observation.high", "observation.duration", "anomaly.score", "observation.summary"}},
	}}
}

// posture is of what matters for the security of the hosts that Monban runs on.
func posture() Dashboard {
	changes := Is("posture.change", "added", "changed", "removed")
	return Dashboard{ID: "posture", Title: "Host posture", Answers: "Who may log in to the hosts, what listens and what guards them, and what of that has changed?", Panels: []Panel{
		{ID: "hosts", Title: "Hosts", Answers: "How many tell of themselves?", Shape: Number, Width: 6, Events: []string{hostPosture}, Values: []Value{Distinct("device.id", "hosts")}},
		{ID: "changes", Title: "Changes", Answers: "How much changed?", Shape: Number, Width: 6, Events: []string{hostPosture}, Where: []Condition{changes}, Values: []Value{Count("changes")}},
		{ID: "grave", Title: "Grave changes", Answers: "How many may serve an attacker well: accounts, keys, rights, files that must stay?", Shape: Number, Width: 6, Events: []string{hostPosture}, Where: []Condition{changes, Is("posture.severity", "error")}, Values: []Value{Count("changes")}},
		{ID: "logins", Title: "Failed log-ins", Answers: "Are passwords being guessed?", Shape: Number, Width: 6, Events: []string{hostPosture}, Where: []Condition{Is("posture.kind", "login")}, Values: []Value{Sum("posture.count", "attempts")}},
		{ID: "time", Title: "Changes over time", Answers: "When did what kind of thing change?", Shape: Lines, Events: []string{hostPosture}, Where: []Condition{changes}, Values: []Value{Count("changes")}, By: []Split{{"posture.kind", "kind", 15}}},
		{ID: "techniques", Title: "ATT&CK techniques that changes can serve", Answers: "What could it be for?", Shape: Bars, Width: 12, Events: []string{hostPosture}, Where: []Condition{Is("posture.change", "added", "changed", "removed", "failed")}, Values: []Value{Count("changes")}, By: []Split{{"threat.technique.enterprise", "technique", 15}}},
		{ID: "evidence", Title: "Evidence", Answers: "Which changes are evidence of an attack?", Shape: Bars, Width: 12, Events: []string{hostPosture}, Values: []Value{Count("changes")}, By: []Split{{"anomaly.reasons.kind", "evidence", 15}}},
		{ID: "latest", Title: "Latest changes", Answers: "What was, what is, and why does it matter?", Shape: Rows, Events: []string{hostPosture}, Where: []Condition{Is("posture.change", "added", "changed", "removed", "failed")},
			Columns: []string{"posture.severity", "posture.change", "posture.kind", "posture.subject", "posture.was", "posture.is", "posture.why", "posture.while_stopped", "device.id"}},
		{ID: "guessing", Title: "Where failed log-ins come from", Answers: "Who guesses, how often, and until when?", Shape: Table, Width: 12, Events: []string{hostPosture}, Where: []Condition{Is("posture.kind", "login")},
			Values: []Value{Sum("posture.count", "attempts"), Max(timestamp, "last told")}, By: []Split{{"posture.subject", "from", 20}, {"device.id", "host id", 5}}},
		{ID: "known", Title: "What is known, by kind", Answers: "How many accounts, listening programs, modules and so on are there? Told once a day.", Shape: Bars, Width: 12, Events: []string{hostPosture}, Values: []Value{Distinct("posture.subject", "facts")}, By: []Split{{"posture.kind", "kind", 15}}},
		{ID: "accounts", Title: "Accounts and groups", Answers: "Who may log in, and who belongs to what?", Shape: Table, Width: 12, Events: []string{hostPosture}, Where: []Condition{Is("posture.kind", "user", "group", "sudoers", "ssh_key")},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"posture.kind", "kind", 4}, {"posture.subject", "who", 100}, {"posture.is", "is", 3}, {"device.id", "host id", 5}}},
		{ID: "listeners", Title: "What listens", Answers: "Which programs can be reached?", Shape: Table, Width: 12, Events: []string{hostPosture}, Where: []Condition{Is("posture.kind", "listener")},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"posture.subject", "where", 100}, {"posture.is", "program", 3}, {"device.id", "host id", 5}}},
		{ID: "guards", Title: "What guards", Answers: "Are the clock, the firewall, updates and encryption as they should be?", Shape: Table, Width: 24, Events: []string{hostPosture}, Where: []Condition{Is("posture.kind", "time", "firewall", "updates", "encryption")},
			Values: []Value{Max(timestamp, "last told")}, By: []Split{{"posture.kind", "kind", 4}, {"posture.subject", "what", 20}, {"posture.is", "is", 5}, {"posture.severity", "severity", 3}, {"device.id", "host id", 5}}},
	}}
}

// traffic is of what the baseline expects of each hour, beside what came.
func traffic() Dashboard {
	ofDevices, ofApplications := []Condition{Has("device.id")}, []Condition{Has("network.protocol.name")}
	return Dashboard{ID: "traffic", Title: "Traffic: expected against seen", Answers: "Is there as much traffic as this hour usually brings? Told each hour, of the minute before it, in bytes by the second; from a day of learning on.", Panels: []Panel{
		{ID: "devices", Title: "Devices with a forecast", Answers: "Of how many is it known?", Shape: Number, Width: 8, Events: []string{forecasts}, Values: []Value{Distinct("device.id", "devices")}},
		{ID: "applications", Title: "Applications with a forecast", Answers: "Of how many?", Shape: Number, Width: 8, Events: []string{forecasts}, Values: []Value{Distinct("network.protocol.name", "applications")}},
		{ID: "moved", Title: "Lasting changes of traffic", Answers: "How often did traffic move to another level, or drift?", Shape: Number, Width: 8, Events: []string{observations}, Where: []Condition{Is("metric.name", "device.traffic", "application.traffic")}, Values: []Value{Distinct("observation.id", "changes")}},
		{ID: "mean", Title: "Expected against seen, mean of all devices", Answers: "Does the site as a whole send and receive as much as usual?", Shape: Lines, Width: 24, Events: []string{forecasts}, Where: ofDevices, Values: expectedAgainstSeen},
		{ID: "seen", Title: "Seen, by application", Answers: "What do applications move?", Shape: Lines, Events: []string{forecasts}, Where: ofApplications, Values: []Value{Mean("forecast.value", "seen")}, By: []Split{{"network.protocol.name", "application", 10}}},
		{ID: "expected", Title: "Expected, by application", Answers: "What would they usually?", Shape: Lines, Events: []string{forecasts}, Where: ofApplications, Values: []Value{Mean("forecast.expected", "expected")}, By: []Split{{"network.protocol.name", "application", 10}}},
		{ID: "bydevice", Title: "Devices", Answers: "Which devices are far from what is usual?", Shape: Table, Width: 12, Events: []string{forecasts}, Where: ofDevices,
			Values: append(append([]Value{}, expectedAgainstSeen...), Max(timestamp, "last told")), By: []Split{{"device.id", "device id", 50}, {"network.io.direction", "direction", 2}}},
		{ID: "byapplication", Title: "Applications", Answers: "Which applications are?", Shape: Table, Width: 12, Events: []string{forecasts}, Where: ofApplications,
			Values: append(append([]Value{}, expectedAgainstSeen...), Max(timestamp, "last told")), By: []Split{{"network.protocol.name", "application", 50}}},
		{ID: "changes", Title: "Lasting changes", Answers: "What moved, from where to where, and is it over?", Shape: Rows, Events: []string{observations}, Where: []Condition{Is("metric.name", "device.traffic", "application.traffic"), news},
			Columns: []string{"observation.phase", "observation.kind", "device.id", "observation.entity", "observation.value", "observation.expected", "observation.low", "observation.high", "observation.duration", "observation.summary"}},
	}}
}
