package main

import (
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// result is one program at one rate.
type result struct {
	program        string
	rate           int
	sent           sent
	reached        uint64 // the interface, by its own counters
	queue          uint64 // lost in the kernel's queue before it, the same for all programs
	received, lost uint64
	unexplained    int64 // of those that reached the interface
	cpu            time.Duration
	peak           int64
}

// missing is what did not arrive, for whatever reason.
func (r *result) missing() int64 { return int64(r.sent.packets) - int64(r.received) }

func measure(l *lab, p program, rate, seconds int) (*result, error) {
	r, err := start(p, l.scratch)
	if err != nil {
		return nil, err
	}
	before, err := readUsage(r.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	c0, err := readCounters()
	if err != nil {
		return nil, err
	}
	answer, err := l.ask("small", rate, seconds, "")
	if err != nil {
		return nil, err
	}
	s, err := answer()
	if err != nil {
		return nil, err
	}
	time.Sleep(1500 * time.Millisecond) // until what is queued has been read
	after, err := readUsage(r.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	c1, err := readCounters()
	if err != nil {
		return nil, err
	}
	if err := r.stop(); err != nil {
		return nil, err
	}
	out := &result{
		program: p.name, rate: rate, sent: s, reached: c1.received - c0.received, queue: c1.dropped - c0.dropped,
		cpu: after.cpu - before.cpu, peak: after.peak,
	}
	if out.received, out.lost, err = p.result(r.dir, r.said()); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	out.unexplained = out.missing() - int64(out.lost)
	if p.name != "monban" { // which counts the queue's losses itself
		out.unexplained -= int64(out.queue)
	}
	return out, nil
}

// table measures all programs at all rates, in turn, so that what else the machine does hits all.
func table(l *lab, o options) error {
	programs := []program{monban(o.monban)}
	for _, name := range o.peers {
		i := slices.IndexFunc(others, func(p program) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("%s is no program that can be measured", name)
		}
		if _, err := exec.LookPath(name); err != nil {
			fmt.Printf("%s is not installed here.\n\n", name)
			continue
		}
		programs = append(programs, others[i])
	}
	fmt.Println("| rate asked | program | sent a second | received | lost | of it unexplained | rounds with drops | CPU, % of a core | CPU ns a packet | peak MB |")
	fmt.Println("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	best := map[string]float64{}
	for _, rate := range o.rates {
		rounds := map[string][]*result{}
		for range o.tries {
			for _, p := range programs {
				r, err := measure(l, p, rate, o.seconds)
				if err != nil {
					return err
				}
				rounds[p.name] = append(rounds[p.name], r)
			}
		}
		for _, p := range programs {
			all := rounds[p.name]
			slices.SortFunc(all, func(a, b *result) int { return int(a.missing() - b.missing()) })
			r := all[len(all)/2]
			a := float64(r.sent.packets) / r.sent.took.Seconds()
			dropped := 0
			for _, r := range all {
				if r.lost > 0 || r.queue > 0 || r.missing() != 0 && p.name == "monban" {
					dropped++
				}
			}
			if dropped == 0 {
				best[p.name] = max(best[p.name], a)
			}
			asked := "max"
			if rate > 0 {
				asked = fmt.Sprint(rate)
			}
			fmt.Printf("| %s | %s | %.0f | %d | %s | %d | %d of %d | %.1f | %.0f | %.0f |\n", asked, r.program, a, r.received,
				share(r.missing(), r.sent.packets), r.unexplained, dropped, len(all), 100*r.cpu.Seconds()/r.sent.took.Seconds(),
				float64(r.cpu.Nanoseconds())/float64(max(r.received, 1)), float64(r.peak)/1e6)
		}
	}
	fmt.Println()
	for _, p := range programs {
		if best[p.name] == 0 {
			fmt.Printf("%s: drops at every rate.\n", p.name)
			continue
		}
		fmt.Printf("%s: no drop in any round up to %.0f packets a second.\n", p.name, best[p.name])
	}
	return nil
}

func share(n int64, of uint64) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%.2f %%)", n, 100*float64(n)/float64(of))
}
