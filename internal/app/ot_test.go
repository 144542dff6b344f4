package app

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/monban/monban/internal/packet"
)

func TestCommands(t *testing.T) {
	const client, server = "10.0.0.1:1000", "10.0.0.2:502"
	const master, outstation = "10.0.0.1:1000", "10.0.0.2:20000"
	tcp := func(src, dst string, p []byte) packet.Header { return ipHeader(start, packet.ProtoTCP, src, dst, p) }
	operate := dnp3Frame(4, 3, 0x44, 0xc0, 0xc0, 5, 12, 1, 0x28, 1, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	tests := []struct {
		name    string
		packets []packet.Header
		want    map[string]int64
		partial uint64
	}{
		{"read and its answer", []packet.Header{
			tcp(client, server, modbusADU(1, 1, 3, 0, 0, 0, 2)),
			tcp(server, client, modbusADU(1, 1, 3, 4, 0, 1, 0, 2))},
			map[string]int64{"1/read_holding_registers": 1}, 0},
		{"exception", []packet.Header{
			tcp(client, server, modbusADU(1, 7, 6, 0, 0, 0, 2)),
			tcp(server, client, modbusADU(1, 7, 0x86, 2))},
			map[string]int64{"7/write_single_register": 1, "7/exception_illegal_data_address": 1}, 0},
		{"several in a segment", []packet.Header{tcp(client, server, slices.Concat(modbusADU(1, 1, 1, 0, 0, 0, 2), modbusADU(2, 2, 5, 0, 1, 255, 0), modbusADU(3, 1, 1, 0, 0, 0, 2)))},
			map[string]int64{"1/read_coils": 2, "2/write_single_coil": 1}, 0},
		{"one that goes on in the next segment", []packet.Header{tcp(client, server, modbusADU(1, 1, 16, 0, 0, 0, 2)[:9])},
			map[string]int64{"1/write_multiple_registers": 1}, 1},
		{"cut inside its header", []packet.Header{tcp(client, server, append(modbusADU(1, 1, 3, 0, 0, 0, 2), 0, 2, 0, 0))},
			map[string]int64{"1/read_holding_registers": 1}, 1},
		{"sub-functions", []packet.Header{
			tcp(client, server, modbusADU(1, 1, 8, 0, 4, 0, 0)),
			tcp(client, server, modbusADU(2, 1, 8, 0, 0, 0, 0)),
			tcp(client, server, modbusADU(3, 1, 43, 14, 1, 0)),
			tcp(client, server, modbusADU(4, 1, 100))},
			map[string]int64{"1/diagnostics_force_listen_only": 1, "1/diagnostics": 1, "1/read_device_identification": 1, "1/function_100": 1}, 0},
		{"not modbus", []packet.Header{tcp(client, server, []byte("GET / HTTP/1.1\r\n"))}, map[string]int64{}, 1},
		{"another port, once it was answered three times", func() (all []packet.Header) {
			for i := range 5 {
				all = append(all, tcp(client, "10.0.0.2:5020", modbusADU(uint16(i), 1, 6, 0, 0, 0, 2)), tcp("10.0.0.2:5020", client, modbusADU(uint16(i), 1, 6, 0, 0, 0, 2)))
			}
			return all
		}(), map[string]int64{"1/write_single_register": 2}, 0},
		{"dnp3", []packet.Header{
			tcp(master, outstation, operate),
			tcp(outstation, master, dnp3Frame(3, 4, 0x44, 0xc0, 0xc0, 129, 0, 0))},
			map[string]int64{"4/direct_operate": 1, "3/response": 1}, 0},
		{"dnp3 with the direction bit clear, on an odd port", []packet.Header{tcp("10.0.0.1:1000", "10.0.0.2:3000", dnp3Frame(4, 3, 0x44, 0xc0, 0xc0, 13))},
			map[string]int64{"4/cold_restart": 1}, 0},
		{"dnp3 over udp, two frames, one of the link layer only", []packet.Header{ipHeader(start, packet.ProtoUDP, master, outstation,
			slices.Concat(dnp3Frame(4, 3, 0xc9), dnp3Frame(4, 3, 0xc4, 0xc0, 0xc0, 1, 60, 2, 6)))},
			map[string]int64{"4/read": 1}, 0},
		{"dnp3 after the rest of a frame", []packet.Header{tcp(master, outstation, slices.Concat(operate[12:], dnp3Frame(4, 3, 0xc4, 0xc0, 0xc0, 2)))},
			map[string]int64{"4/write": 1}, 1},
		{"dnp3 with a wrong CRC", []packet.Header{tcp(master, outstation, append([]byte{5, 0x64, 8, 0xc4, 4, 0, 3, 0, 1, 1}, 0xc0, 0xc0, 13, 0, 0))},
			map[string]int64{}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(Config{})
			for _, h := range tt.packets {
				b.packet(h)
			}
			if got := b.commands(); !reflect.DeepEqual(got, tt.want) || b.Stats().Partial != tt.partial {
				t.Errorf("got %v, partial %d; want %v, %d", got, b.Stats().Partial, tt.want, tt.partial)
			}
		})
	}
}

func TestCRC(t *testing.T) {
	// The header of a link status request as the standard prints it.
	if got := crcDNP([]byte{5, 0x64, 5, 0xc0, 1, 0, 0, 4}); got != 0x21e9 {
		t.Errorf("CRC %04x, want 21e9", got)
	}
}

func TestWhatActs(t *testing.T) {
	for command, want := range map[string][2]bool{ // acts, is a request
		"1/read_coils": {false, true}, "1/write_single_coil": {true, true}, "1/diagnostics": {false, true},
		"1/diagnostics_force_listen_only": {true, true}, "1/exception_illegal_function": {false, false},
		"4/read": {false, true}, "4/direct_operate_no_ack": {true, true}, "4/immediate_freeze": {true, true},
		"4/cold_restart": {true, true}, "3/response": {false, false}, "3/unsolicited_response": {false, false},
		"": {false, false}, "1/function_100": {false, true},
	} {
		if got := [2]bool{StateChanging(command), IsRequest(command)}; got != want {
			t.Errorf("%q: %v, want %v", command, got, want)
		}
	}
}

// The requests of the ICSNPP capture, by unit and function, as Zeek's plugin
// logged them.
func TestModbusAsZeek(t *testing.T) {
	log, err := os.Open(data(t, "icsnpp-modbus", "testing", "baseline", "analyzer.basic", "modbus_detailed.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	rename := map[string]string{"report_slave_id": "report_server_id", "encap_interface_transport": "read_device_identification", "program_unity": "unity_programming"}
	want := map[string]int64{}
	seen := map[string]bool{} // some functions have a line for the answer too
	for s := bufio.NewScanner(log); s.Scan(); {
		f := strings.Split(s.Text(), "\t")
		if strings.HasPrefix(f[0], "#") || len(f) < 9 {
			continue
		}
		if transaction := f[6] + "/" + f[7]; seen[transaction] {
			continue
		} else {
			seen[transaction] = true
		}
		name := strings.ToLower(f[8])
		if n, ok := rename[name]; ok {
			name = n
		}
		want[f[7]+"/"+name]++
	}
	b := newBench(Config{})
	b.read(t, data(t, "icsnpp-modbus", "testing", "traces", "modbus_example.pcap"))
	got := b.commands()
	maps.DeleteFunc(got, func(c string, _ int64) bool { return !IsRequest(c) })
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Every DNP3 message of the shared captures, by destination and function, as
// Wireshark reads it.
func TestDNP3AsWireshark(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	files, err := filepath.Glob(filepath.Join(data(t, "iti-ics", "dnp3"), "*.pcap"))
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	total := int64(0)
	for _, file := range files {
		out, err := exec.Command(tshark, "-n", "-r", file, "-o", "tcp.desegment_tcp_streams:FALSE", "-Y", "dnp3.al.func", "-T", "fields", "-e", "dnp3.dst", "-e", "dnp3.al.func").Output()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want := map[string]int64{}
		for line := range bytes.Lines(out) {
			f := strings.Fields(string(line))
			if len(f) != 2 {
				continue
			}
			to, codes := strings.Split(f[0], ","), strings.Split(f[1], ",")
			for i, c := range codes {
				code, err := strconv.ParseUint(c, 0, 8)
				if err != nil {
					t.Fatal(err)
				}
				want[fmt.Sprintf("%s/%s", to[min(i, len(to)-1)], dnp3Functions[byte(code)])]++
			}
		}
		b := newBench(Config{})
		b.read(t, file)
		got := b.commands()
		if filepath.Base(file) == "write_vto_empty_string.pcap" {
			// A message whose end was not captured, which Wireshark does not open;
			// its function stands at its begin.
			want["4/write"]++
		}
		for _, n := range got {
			total += n
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", filepath.Base(file), got, want)
		}
	}
	t.Logf("%d messages in %d captures", total, len(files))
}
