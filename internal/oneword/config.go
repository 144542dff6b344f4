package oneword

import (
	"os"
	"path/filepath"
	"strings"
)

// Options of every scheme that reads packets.
var common = []Option{
	{"out", "DIR", checkOut},
	{"state", "DIR", checkDir},
	{"home", "CIDR,…", checkPrefixes},
	{"site", "NAME", nil},
	{"fail_on", "high", oneOf(severities...)},
}

// Pcap is the word for capture files: it reads them to their end and stops.
var Pcap = &Scheme{Name: "pcap", Source: "FILE", Options: common, Sources: Files, Exists: FileExists}

// Live is the word for interfaces: it listens until it is interrupted.
var Live = &Scheme{Name: "live", Source: "INTERFACE", Sources: Interfaces,
	Options: append([]Option{{"filter", "EXPRESSION", nil}}, common...)}

// Config is the configuration that a word stands for, ready for
// confmap.NewRetrieved.
func (w *Word) Config() map[string]any {
	if w.Scheme == Learned.Name {
		return w.learnedConfig()
	}
	receiver := map[string]any{}
	device, baseline, threat := map[string]any{}, map[string]any{}, map[string]any{}
	service := map[string]any{"telemetry": quiet()}
	config := map[string]any{
		"receivers":  map[string]any{"packetflow": receiver},
		"processors": map[string]any{"device": device, "baseline": baseline},
		"connectors": map[string]any{"threat": threat},
		"service":    service,
	}
	if w.Scheme == Pcap.Name {
		receiver["files"] = list(w.Sources)
		receiver["at_end"] = "exit"
		receiver["progress"] = "auto"
	} else {
		interfaces, mirrors := listen(w.Sources)
		if len(interfaces) > 0 {
			receiver["interfaces"] = list(interfaces)
		}
		if len(mirrors) > 0 {
			receiver["mirrors"] = map[string]any{"listen": list(mirrors)}
		}
		w.put(receiver, "filter", "filter")
	}
	if home, ok := w.Options["home"]; ok {
		nets, _ := prefixes(home) // checked by Parse
		device["home"] = list(nets)
	}
	w.put(device, "site", "site")
	w.put(threat, "fail_on", "fail_on")
	if dir, ok := w.Options["state"]; ok {
		config["extensions"] = map[string]any{stateStorage: map[string]any{"directory": escape(dir)}}
		service["extensions"] = []any{stateStorage}
		for _, c := range []map[string]any{device, baseline, threat} {
			c["storage"] = stateStorage
		}
	}
	exporters := w.exporters()
	config["exporters"] = exporters
	var names []any
	for _, name := range []string{"ndjson", "summary"} {
		if _, ok := exporters[name]; ok {
			names = append(names, name)
		}
	}
	service["pipelines"] = map[string]any{
		"logs/flows": map[string]any{
			"receivers":  []any{"packetflow"},
			"processors": []any{"device", "baseline"},
			"exporters":  append([]any{"threat"}, names...),
		},
		"logs/reports": map[string]any{"receivers": []any{"threat"}, "exporters": names},
	}
	return config
}

const stateStorage = "state_storage"

func (w *Word) exporters() map[string]any {
	live := w.Scheme == Live.Name
	hints := map[string]any{"word": w.Scheme}
	summary := map[string]any{"output": "stdout", "hints": hints}
	if live {
		summary["follow"] = true
	}
	w.put(hints, "state", "state")
	w.put(hints, "home", "home")
	exporters := map[string]any{"summary": summary}
	out, ok := w.Options["out"]
	if !ok {
		return exporters
	}
	w.put(hints, "out", "out")
	if info, err := os.Stat(filepath.Join(out, "flows.ndjson")); err == nil && info.Size() > 0 && !live {
		hints["appended"] = true
	}
	ndjson := map[string]any{"on_error": "stop"}
	switch {
	case out == Stdin:
		ndjson["path"] = out
		summary["output"] = "stderr"
	case live: // one that runs for months must neither fill a small disk nor end when someone else does
		ndjson["directory"] = escape(out)
		ndjson["on_error"] = "drop"
		ndjson["rotation"] = map[string]any{"max_size_mib": 100, "max_files": 20, "compress": true}
	default:
		ndjson["directory"] = escape(out)
	}
	exporters["ndjson"] = ndjson
	return exporters
}

// quiet is the Collector's own telemetry for a person at a terminal: what goes
// wrong, in one line each, and no port opened.
func quiet() map[string]any {
	return map[string]any{
		"logs": map[string]any{
			"level":                "warn",
			"encoding":             "console",
			"disable_caller":       true,
			"disable_stacktrace":   true,
			"disable_zap_resource": true,
		},
		"metrics": map[string]any{"level": "none"},
	}
}

func (w *Word) put(section map[string]any, key, option string) {
	if v, ok := w.Options[option]; ok {
		section[key] = escape(v)
	}
}

func list(values []string) []any {
	l := make([]any, len(values))
	for i, v := range values {
		l[i] = escape(v)
	}
	return l
}

// escape keeps the Collector from expanding what looks like ${…}.
func escape(s string) string { return strings.ReplaceAll(s, "$", "$$") }
