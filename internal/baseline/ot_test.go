package baseline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/internal/flow"
)

func TestOTCommands(t *testing.T) {
	laptop := host(77)
	for _, c := range []struct {
		name string
		run  func(s *site) *flow.Record
		want []string
	}{
		{"what the panel always sends", func(s *site) *flow.Record {
			return s.command(panel, controller, "1/read_holding_registers", "1/read_coils")
		}, nil},
		{"a read that the panel never sent", func(s *site) *flow.Record {
			return s.command(panel, controller, "1/read_holding_registers", "1/read_file_record")
		}, []string{NewCommand}},
		{"a write that the panel never sent", func(s *site) *flow.Record {
			return s.command(panel, controller, "1/read_holding_registers", "1/write_single_coil")
		}, []string{NewWrite}},
		{"an answer is no command", func(s *site) *flow.Record {
			return s.command(panel, controller, "1/exception_read_coils_illegal_data_address")
		}, nil},
		{"a master that only reads", func(s *site) *flow.Record {
			return s.command(laptop, controller, "1/read_holding_registers")
		}, []string{NewMaster, NewCommand, NewClient}},
		{"a master that writes", func(s *site) *flow.Record {
			return s.command(laptop, controller, "1/write_multiple_registers")
		}, []string{NewMaster, NewWrite, NewClient}},
		{"unit after unit", func(s *site) *flow.Record {
			var units []string
			for i := range 12 {
				units = append(units, fmt.Sprintf("%d/read_coils", 10+i))
			}
			return s.command(panel, controller, units...)
		}, []string{OTEnumeration}},
		{"function after function", func(s *site) *flow.Record {
			return s.command(panel, controller, "1/read_discrete_inputs", "1/read_input_registers", "1/read_exception_status", "1/diagnostics",
				"1/get_comm_event_counter", "1/get_comm_event_log", "1/report_server_id", "1/read_file_record", "1/read_fifo_queue", "1/encapsulated_interface", "1/poll_484")
		}, []string{OTEnumeration, NewCommand}},
		{"far more of the usual", func(s *site) *flow.Record {
			r := s.command(panel, controller, "1/read_holding_registers")
			r.CommandCounts[0] = 5000
			return r
		}, []string{OTFlood}},
		{"a little more of the usual", func(s *site) *flow.Record {
			r := s.command(panel, controller, "1/read_holding_registers")
			r.CommandCounts[0] = 12
			return r
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.work(3 * time.Hour)
			s.wait(20 * time.Second)
			r := c.run(s)
			var got []string
			for _, k := range s.judge(r) {
				if k != NewClient || strings.Contains(strings.Join(c.want, " "), NewClient) {
					got = append(got, k)
				}
			}
			expected := c.want
			if !strings.Contains(strings.Join(got, " "), NewClient) { // the pair has spoken: one word is enough
				expected = nil
				for _, k := range c.want {
					if k != NewClient {
						expected = append(expected, k)
					}
				}
			}
			want(t, got, expected...)
			for _, x := range r.Anomaly.Reasons {
				if actor := r.Src.Device; x.Device != actor && x.Kind != NewClient {
					t.Errorf("the actor of %s is %s, want %s", x.Kind, x.Device, actor)
				}
			}
		})
	}
}

func TestOTCommandIsToldUntilApproved(t *testing.T) {
	s := newSite(t)
	s.work(3 * time.Hour)
	write := func() []string {
		s.wait(time.Hour)
		return s.judge(s.command(panel, controller, "1/write_single_coil"))
	}
	for range 5 {
		want(t, write(), NewWrite)
	}
	if err := s.Approve(controller.Device, "ot.command "+panel.Device+" write_single_coil"); err != nil {
		t.Fatal(err)
	}
	want(t, write())
}

func TestFirstOTHourIsSilent(t *testing.T) {
	s := newSite(t)
	for _, f := range []string{"1/read_coils", "1/write_single_coil", "2/read_coils", "1/read_holding_registers"} {
		s.wait(5 * time.Second)
		want(t, s.judge(s.command(panel, controller, f)))
	}
}

func TestUnitsAreBounded(t *testing.T) {
	s := newSite(t)
	for i := range 4 * maxUnits {
		s.wait(time.Second)
		s.Flow(s.command(panel, controller, fmt.Sprintf("%d/read_coils", i)))
	}
	if n := len(s.devices[controller.Device].Units); n > maxUnits {
		t.Errorf("%d units", n)
	}
}
