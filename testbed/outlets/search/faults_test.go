//go:build linux

package search

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// TestFaults does to each server what happens to servers, one after the other. Faults share a server,
// in namespaces of their own.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	for _, v := range servers.SearchVersions() {
		t.Run(v, func(t *testing.T) {
			fresh()
			for _, fault := range []struct {
				name string
				test func(t *testing.T, s *servers.Search, ns string)
			}{
				{"missing template", missingTemplate}, // first, as a template in use can't be removed
				{"mapping conflict", mappingConflict},
				{"read-only index", readOnlyIndex},
				{"missing pipeline", missingPipeline},
				{"paused server", pausedServer},
				{"killed server", killedServer},
				{"outage", outage},
				{"slow server", slowServer},
				{"half refused", halfRefused},
				{"dead node", deadNode},
				{"two instances", twoInstances},
				{"killed again and again", killedAgain},
				{"damaged queue", damagedQueue},
				{"full disk", fullDisk},
				{"renewed template", renewedTemplate},
			} {
				t.Run(fault.name, func(t *testing.T) { fault.test(t, server(t, v), namespace(t)) })
			}
		})
	}
}

// killedServer kills the server while records come in, and starts it again.
func killedServer(t *testing.T, s *servers.Search, ns string) {
	port, err := servers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf("127.0.0.1:%d", port)
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage", manifest: manifest}), newFeed()
	f.send(p, 1000)
	testbed.WaitUnwell(t, manifest)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	f.send(p, 2000)
	p.says("Nothing can be sent for the time being")
	testbed.WaitUnwell(t, manifest, "exporter:elasticsearch=recoverable_error")
	p.stop()
	p.says("stays in the queue on disk")
	if strings.Contains(p.said(), "Dropping data") {
		t.Error("it says that it drops what is safe on disk")
	}
	p.launch()
	testbed.WaitUnwell(t, manifest, "exporter:elasticsearch=recoverable_error")
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.send(p, 1000)
	f.arrived(t, s, ns)
	p.says("Sending works again")
	testbed.WaitUnwell(t, manifest)
}

// pausedServer stops the server's process without ending it, so that connections stay open and
// nothing answers, for longer than a request may take.
func pausedServer(t *testing.T, s *servers.Search, ns string) {
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage", exporter: "timeout: 5s, "}), newFeed()
	f.send(p, 1000)
	pause := 12 * time.Second
	if long() {
		pause = 2 * time.Minute
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Resume() })
	f.send(p, 2000)
	p.says("Nothing can be sent for the time being")
	time.Sleep(pause) // the fault itself
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	f.arrived(t, s, ns)
}

// readOnlyIndex blocks writing to the index behind a data stream.
func readOnlyIndex(t *testing.T, s *servers.Search, ns string) {
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage"}), newFeed()
	f.send(p, 200)
	f.arrived(t, s, ns)
	index := "/logs-monban.flow-" + ns + "/_settings"
	if err := s.Do(t.Context(), http.MethodPut, index, map[string]any{"index.blocks.write": true}, nil); err != nil {
		t.Fatal(err)
	}
	f.send(p, 500)
	p.says("Nothing can be sent for the time being", "cluster_block_exception", "index.blocks")
	if err := s.Do(t.Context(), http.MethodPut, index, map[string]any{"index.blocks.write": nil}, nil); err != nil {
		t.Fatal(err)
	}
	f.arrived(t, s, ns)
}

// missingPipeline has a stream's index name an ingest pipeline that nobody has made yet: that is no
// fault of the documents, which wait for it.
func missingPipeline(t *testing.T, s *servers.Search, ns string) {
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage"}), newFeed()
	f.send(p, 200)
	f.arrived(t, s, ns)
	for _, setting := range []string{"default_pipeline", "final_pipeline"} {
		name := "not-there-" + setting
		if err := s.Do(t.Context(), http.MethodPut, "/logs-monban.flow-"+ns+"/_settings", map[string]any{"index." + setting: name}, nil); err != nil {
			t.Fatal(err)
		}
		f.send(p, 500)
		p.says("Nothing can be sent for the time being", name, "make the pipeline")
		if err := s.Do(t.Context(), http.MethodPut, "/_ingest/pipeline/"+name, map[string]any{"processors": []any{}}, nil); err != nil {
			t.Fatal(err)
		}
		f.arrived(t, s, ns)
		p.says("Sending works again")
	}
	if n, err := s.Count(t.Context(), "logs-monban.deadletter-"+ns); n != 0 || err != nil {
		t.Errorf("%d dead letters, %v", n, err)
	}
}

// fullDisk lets the server find its disk full, which then lets nobody write.
func fullDisk(t *testing.T, s *servers.Search, ns string) {
	if !long() {
		t.Skip("the server looks at its disk twice a minute; make test-servers waits for it")
	}
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage"}), newFeed()
	f.send(p, 200)
	f.arrived(t, s, ns)
	set := func(on bool) {
		t.Helper()
		const d = "cluster.routing.allocation.disk."
		v := map[string]any{d + "threshold_enabled": nil, d + "watermark.low": nil, d + "watermark.high": nil, d + "watermark.flood_stage": nil, "cluster.info.update.interval": "10s"}
		if on {
			v[d+"threshold_enabled"], v[d+"watermark.low"], v[d+"watermark.high"], v[d+"watermark.flood_stage"] = true, "1%", "2%", "3%"
		}
		if err := s.Do(t.Context(), http.MethodPut, "/_cluster/settings", map[string]any{"transient": v}, nil); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	begun := time.Now()
	for !strings.Contains(p.said(), "flood") && time.Since(begun) < 90*time.Second {
		f.send(p, 100)
		time.Sleep(500 * time.Millisecond)
	}
	p.says("Nothing can be sent for the time being", "a data node's disk is nearly full")
	f.send(p, 500)
	set(false)
	// With the threshold off the server no longer takes its block away, so an operator does.
	if err := s.Do(t.Context(), http.MethodPut, "/_all/_settings", map[string]any{"index.blocks.read_only_allow_delete": nil}, nil); err != nil {
		t.Fatal(err)
	}
	f.arrived(t, s, ns)
}

// mappingConflict sends records that the server refuses for what they hold: they must be among
// the dead letters, each with the reason, and nothing else may wait for them.
func mappingConflict(t *testing.T, s *servers.Search, ns string) {
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage"}), newFeed()
	f.send(p, 300)
	bad := newFeed()
	bad.next = 1000
	if !post(p.otlp, spoil(t, bad, 40)) {
		t.Fatal("not accepted")
	}
	f.send(p, 300)
	for i := range 40 {
		f.accepted[1000+i] = true
	}
	f.arrived(t, s, ns)
	letters, err := s.All(t.Context(), "logs-monban.deadletter-"+ns)
	if err != nil || len(letters) != 20 {
		t.Fatalf("%d dead letters, not 20: %v", len(letters), err)
	}
	source := string(letters[0].Source)
	for _, want := range []string{"parsing_exception", "source.ip", "nowhere", `"code":"400"`, `"stream":"logs-monban.flow-` + ns} {
		if !strings.Contains(source, want) {
			t.Errorf("the dead letter does not say %s: %s", want, source)
		}
	}
	p.says("A document was refused and went to the dead letters", "source.ip")
}

// missingTemplate begins with a server that has no templates: nothing may make an index with a guessed
// mapping, and what was accepted arrives once somebody has installed them.
func missingTemplate(t *testing.T, s *servers.Search, ns string) {
	p, f := start(t, options{url: s.URL, namespace: ns, storage: "state_storage", exporter: "template: require, "}), newFeed()
	f.send(p, 300)
	p.says("templates are missing", "docs/elasticsearch")
	var off *process
	if !s.OpenSearch() { // which can't be told to require a data stream
		off = start(t, options{url: s.URL, namespace: ns, storage: "state_storage", exporter: "template: off, "})
		f.send(off, 300)
		off.says("index_not_found_exception", "the index template is missing")
	}
	if n, err := s.Count(t.Context(), "logs-monban.*-"+ns); n != 0 || err != nil {
		t.Errorf("%d documents without a template, %v", n, err)
	}
	install := start(t, options{url: s.URL, namespace: ns, storage: "state_storage"})
	f.send(install, 300)
	install.says("Templates were installed")
	f.arrived(t, s, ns)
}
