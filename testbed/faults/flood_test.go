package faults

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monban/monban/testbed"
)

// segment adds a TCP segment at a time in nanoseconds since base.
func (p *pcap) segment(at int64, src, dst [4]byte, sport, dport uint16, seq, ack uint32, flags byte, payload string) {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	p.at = base + at
	p.frame(mac(2, int(src[3])), 6, src, dst, append(append(b, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0), payload...))
}

// While 30,000 forged SYNs a second come for four seconds, forty slow conversations, half
// of which begin meanwhile, stay whole; the flood is told within a second, counted to the
// packet, and reported.
func TestFlood(t *testing.T) {
	const (
		ms                   = int64(1e6)
		from, until          = 3000 * ms, 7000 * ms
		syn, ack, psh        = 2, 16, 8
		clients, perMilli    = 40, 30
		first, every, rounds = 100 * ms, 250 * ms, 30
	)
	p := capture()
	byTime := map[int64][]func(){}
	whole := map[string]int{}
	for c := range clients {
		client, server := [4]byte{10, 0, 1, byte(c + 1)}, [4]byte{10, 0, 0, byte(c%2 + 1)}
		port := uint16(40000 + c)
		at := int64(c) * first
		send := func(at int64, answer bool, flags byte, payload string) {
			byTime[at] = append(byTime[at], func() {
				if answer {
					p.segment(at, server, client, 502, port, 1, 1, flags, payload)
				} else {
					p.segment(at, client, server, port, 502, 1, 1, flags, payload)
				}
			})
			whole[fmt.Sprintf("10.0.1.%d", c+1)]++
		}
		send(at, false, syn, "")
		send(at+ms, true, syn|ack, "")
		send(at+2*ms, false, ack, "")
		for i := range rounds {
			send(at+3*ms+int64(i)*every, false, ack|psh, "question")
			send(at+4*ms+int64(i)*every, true, ack|psh, "answer")
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	flood := 0
	for now := int64(0); now < 12000*ms; now += ms {
		for _, do := range byTime[now] {
			do()
		}
		for i := range perMilli {
			if now >= from && now < until {
				x := rnd.Uint32()
				p.segment(now+int64(i)*1000, [4]byte{198, 18, byte(x >> 8), byte(x)}, [4]byte{10, 0, 0, byte(i%2 + 1)}, uint16(x>>16)|1024, uint16(rnd.IntN(65535)+1), x, 0, syn, "")
				flood++
			}
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "flood.pcap")
	write(t, file, p.Bytes())
	out := filepath.Join(dir, "out")
	r := testbed.Run(t, "--config", "pcap:"+file+"?out="+out)
	sane(t, r)
	if got := conserved(t, out); got != p.packets {
		t.Errorf("%d packets were read of %d", got, p.packets)
	}
	records, floodRecords := map[string]int{}, 0
	for _, e := range lines(t, filepath.Join(out, "flows.ndjson")) {
		src, _ := e["source.address"].(string)
		if strings.HasPrefix(src, "10.0.1.") {
			records[src] += number(e, "flow.io.packets") + number(e, "flow.reverse.io.packets")
		} else {
			floodRecords++
		}
	}
	for c, n := range whole {
		if records[c] != n {
			t.Errorf("%s: %d packets on record, %d were sent", c, records[c], n)
		}
	}
	states := map[string]string{}
	rolled := 0
	for _, e := range lines(t, filepath.Join(out, "floods.ndjson")) {
		victim, _ := e["destination.address"].(string)
		state, _ := e["flood.state"].(string)
		states[victim] += state + " "
		rolled += number(e, "flow.io.packets")
		if start, _ := e["flood.start"].(string); state == "begun" && (start < "2023-11-14T22:13:23.0" || start > "2023-11-14T22:13:24.0") {
			t.Errorf("the flood of %s was noticed at %s", victim, start)
		}
	}
	if len(states) != 2 || states["10.0.0.1"] != "begun ended " || states["10.0.0.2"] != "begun ended " {
		t.Errorf("floods: %v", states)
	}
	if rolled+floodRecords != flood || floodRecords > 4000 {
		t.Errorf("%d packets rolled up and %d in records, %d were sent", rolled, floodRecords, flood)
	}
	classes := map[string]bool{}
	for _, e := range lines(t, filepath.Join(out, "reports.ndjson")) {
		class, _ := e["report.class"].(string)
		classes[class] = true
	}
	if !classes["flood"] {
		t.Errorf("reports of %v, none of a flood", classes)
	}
}

// TestBigFlood meters what the comparison with other meters generates: 2,000,000 forged SYNs to four
// servers beside 200 slow connections, half of which begin meanwhile.
func TestBigFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("two million packets")
	}
	generator := filepath.Join(testbed.Data(t), "..", "bench", "synflood", "gen.go")
	if _, err := os.Stat(generator); err != nil {
		t.Skipf("no generator: %v", err)
	}
	dir := t.TempDir()
	file, out := filepath.Join(dir, "flood.pcap"), filepath.Join(dir, "out")
	if b, err := exec.Command("go", "run", generator, "-o", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testbed.Binary(t), "--config", filepath.Join(testbed.Root(), "testbed", "bench", "flows.yaml"))
	cmd.Env = append(os.Environ(), "PCAP="+file, "OUT="+out)
	r := testbed.Exec(t, cmd)
	sane(t, r)
	slow, whole, packets, records, rolled := map[any]bool{}, 0, 0, 0, 0
	for _, e := range lines(t, filepath.Join(out, "flows.ndjson")) {
		n := number(e, "flow.io.packets") + number(e, "flow.reverse.io.packets")
		if src, _ := e["source.address"].(string); !strings.HasPrefix(src, "10.0.") {
			records += n
			continue
		}
		packets += n
		slow[e["source.port"]] = true
		if e["flow.tcp.state"] == "SF" {
			whole++
		}
	}
	states, count := map[any]string{}, map[any]int{}
	for _, e := range lines(t, filepath.Join(out, "floods.ndjson")) {
		state, _ := e["flood.state"].(string)
		rolled += number(e, "flow.io.packets")
		if states[e["destination.address"]] += state + " "; state == "ended" {
			count[e["destination.address"]] = number(e, "flood.source.count")
		}
		if start, _ := e["flood.start"].(string); state == "begun" && (start < "2023-11-14T22:13:25.0" || start > "2023-11-14T22:13:26.0") {
			t.Errorf("noticed at %s", start)
		}
	}
	t.Logf("%d connections, %d whole, %d packets; %d packets of the flood in records, %d rolled up; senders %v; CPU %s, %d MB", len(slow), whole, packets, records, rolled, count, r.CPU, r.PeakRSS>>20)
	if len(slow) != 200 || whole != 200 || packets != 46402 {
		t.Errorf("%d connections on record, %d whole, of %d packets; want 200, 200, 46402", len(slow), whole, packets)
	}
	if records+rolled != 2_000_000 || records > 4000 {
		t.Errorf("%d packets of the flood in records and %d rolled up, of 2000000", records, rolled)
	}
	if len(states) != 4 {
		t.Errorf("floods of %v", states)
	}
	for victim, s := range states {
		if s != "begun active active ended " {
			t.Errorf("%v: %s", victim, s)
		}
		if n := count[victim]; n < 32768*95/100 || n > 32768*105/100 {
			t.Errorf("%v: %d distinct senders, of 32768", victim, n)
		}
	}
	if r.PeakRSS > 400<<20 { // usually 100 MB, at times twice as much before garbage is collected
		t.Errorf("%d MB", r.PeakRSS>>20)
	}
}
