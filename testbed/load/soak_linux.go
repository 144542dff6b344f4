package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// sample is memory at one moment.
type sample struct {
	at                 time.Duration
	rss, heap          float64 // MB
	packets, liveFlows float64
}

// flat tells by how much memory grew over the samples, by the line that fits them best, and
// whether that is more than chance: at most a twentieth of what there is.
func flat(samples []sample, of func(sample) float64) (growth float64, ok bool) {
	var n, mx, my float64
	for _, s := range samples {
		n++
		mx += s.at.Seconds()
		my += of(s)
	}
	if n < 3 {
		return 0, false
	}
	mx, my = mx/n, my/n
	var xy, xx float64
	for _, s := range samples {
		xy += (s.at.Seconds() - mx) * (of(s) - my)
		xx += (s.at.Seconds() - mx) * (s.at.Seconds() - mx)
	}
	growth = xy / xx * (samples[len(samples)-1].at - samples[0].at).Seconds()
	return growth, growth <= my/20
}

// judgeable is how long a run is in which what still warms up is no longer taken for a leak.
const judgeable = 20 * time.Minute

// soak sends at one rate for long, and fails unless memory is flat after the warm-up.
func soak(l *lab, o options) error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	const metrics = "127.0.0.1:8888"
	p := monban(o.monban)
	command := p.command
	p.command = func(dir string) *exec.Cmd {
		c := command(dir)
		c.Args = append(c.Args, "--set", "service::telemetry::metrics::level=normal",
			"--set", "exporters::ndjson::rotation::max_files=1000") // all are added up in the end
		return c
	}
	r, err := start(p, l.scratch)
	if err != nil {
		return err
	}
	defer func() { _ = r.cmd.Process.Kill() }()
	kind := "mixed"
	if o.capture != "" {
		kind = "replay"
	}
	seconds := max(1, int(o.long/time.Second))
	answer, err := l.ask(kind, o.rate, seconds, o.capture)
	if err != nil {
		return err
	}
	warmUp := o.warmUp
	if warmUp == 0 {
		warmUp = min(max(o.long/5, 5*time.Minute), o.long/2)
	}
	every := max(min(time.Minute, o.long/20), time.Second)
	fmt.Println("| minute | RSS MB | heap MB | live flows | packets |")
	fmt.Println("|---:|---:|---:|---:|---:|")
	var judged []sample
	started := time.Now()
	for at := every; at <= o.long; at += every {
		time.Sleep(time.Until(started.Add(at)))
		s := sample{at: at}
		u, err := readUsage(r.cmd.Process.Pid)
		if err != nil {
			return fmt.Errorf("monban ended early: %w\n%s", err, r.said())
		}
		s.rss = float64(u.rss) / 1e6
		if err := s.scrape("http://" + metrics + "/metrics"); err != nil {
			return err
		}
		fmt.Printf("| %.1f | %.1f | %.1f | %.0f | %.0f |\n", at.Minutes(), s.rss, s.heap, s.liveFlows, s.packets)
		if at > warmUp {
			judged = append(judged, s)
		}
	}
	s, err := answer()
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	if err := r.stop(); err != nil {
		return err
	}
	received, lost, err := p.result(r.dir, r.said())
	if err != nil {
		return err
	}
	fmt.Printf("\n%d packets sent in %s, %d received, %d lost by count.\n", s.packets, s.took.Round(time.Second), received, lost)
	var wrong []string
	if received != s.packets {
		wrong = append(wrong, fmt.Sprintf("%d packets did not arrive", int64(s.packets)-int64(received)))
	}
	for _, m := range []struct {
		name string
		of   func(sample) float64
	}{{"RSS", func(s sample) float64 { return s.rss }}, {"heap", func(s sample) float64 { return s.heap }}} {
		growth, ok := flat(judged, m.of)
		fmt.Printf("%s after the first %s: %+.1f MB.\n", m.name, warmUp, growth)
		if !ok && m.name == "RSS" && o.long >= judgeable { // the heap goes up and down with the collector
			wrong = append(wrong, fmt.Sprintf("%s is not flat", m.name))
		}
	}
	if o.long < judgeable {
		fmt.Printf("Shorter than %s: whether memory is flat is not judged.\n", judgeable)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// scrape reads the metrics that a sample needs.
func (s *sample) scrape(url string) error {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return fmt.Errorf("monban's metrics: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ") // labels here have no spaces
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch {
		case strings.HasPrefix(name, "otelcol_process_runtime_heap_alloc_bytes"):
			s.heap = n / 1e6
		case strings.HasPrefix(name, "otelcol_packetflow_live_flows"):
			s.liveFlows = n
		case strings.HasPrefix(name, "otelcol_packetflow_packets"):
			s.packets = n
		}
	}
	return lines.Err()
}
