// Command load drives the real binary live: it sends packets over a veth pair from one network
// namespace into another, in which monban listens, and writes what was sent, received and lost,
// and what it cost.
//
//	load -monban ./monban                    a table of rates, beside other programs
//	load -monban ./monban -for 1h            mixed load at one rate; fails unless memory stays flat
//
// It promises that each packet is accounted for: what the sender counted, what left and reached
// the interfaces by their own counters, and what was received or lost by the program's own word.
// It gives up the work of a network card: over veth the kernel's share of receiving is done on
// the sender's core, the same for every program. It needs root and Linux.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

type options struct {
	monban  string
	rates   []int // packets a second; 0 for as fast as can be
	seconds int
	peers   []string
	tries   int

	long    time.Duration
	rate    int
	capture string
	warmUp  time.Duration
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == sendCommand {
		if err := sender(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "sender:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	var rates, peers string
	flag.StringVar(&o.monban, "monban", "", "binary to measure")
	flag.StringVar(&rates, "rates", "50k,100k,200k,400k,max", "packets a second")
	flag.StringVar(&peers, "peers", "tcpdump,softflowd,suricata", "other programs to measure beside it, where they are installed")
	flag.IntVar(&o.seconds, "seconds", 5, "how long each rate is sent")
	flag.IntVar(&o.tries, "n", 3, "rounds; the middle one counts")
	flag.DurationVar(&o.long, "for", 0, "send mixed load for so long at one rate instead, and watch memory")
	flag.IntVar(&o.rate, "rate", 10_000, "packets a second of -for")
	flag.StringVar(&o.capture, "capture", "", "capture that -for repeats; generated traffic when empty")
	flag.DurationVar(&o.warmUp, "warm-up", 0, "time at the beginning of -for that is not judged; a fifth of it, 5m at least and half at most, when 0")
	flag.Parse()
	if o.monban == "" {
		fatal(fmt.Errorf("-monban names no binary"))
	}
	for _, r := range strings.Split(rates, ",") {
		n, err := parseRate(r)
		if err != nil {
			fatal(err)
		}
		o.rates = append(o.rates, n)
	}
	if peers != "" {
		o.peers = strings.Split(peers, ",")
	}
	if err := run(o); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

func parseRate(s string) (int, error) {
	if s == "max" {
		return 0, nil
	}
	number, times := s, 1
	if k, ok := strings.CutSuffix(s, "k"); ok {
		number, times = k, 1000
	}
	n, err := strconv.Atoi(number)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is no rate; it is a number, such as 50k, or max", s)
	}
	return n * times, nil
}
