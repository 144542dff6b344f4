package app

import (
	"strconv"
	"strings"
)

// Commands are written as "unit/function": the Modbus unit or the DNP3
// destination link address, and the function's name in the protocol's
// specification, in lower case.

// Modbus functions (Modbus Application Protocol 1.1b3, and those that only the
// older PI-MBUS-300 knows).
var modbusFunctions = map[byte]string{
	1: "read_coils", 2: "read_discrete_inputs", 3: "read_holding_registers", 4: "read_input_registers",
	5: "write_single_coil", 6: "write_single_register", 7: "read_exception_status", 8: "diagnostics",
	9: "program_484", 10: "poll_484", 11: "get_comm_event_counter", 12: "get_comm_event_log",
	13: "program_584_984", 14: "poll_584_984", 15: "write_multiple_coils", 16: "write_multiple_registers",
	17: "report_server_id", 18: "program_884_u84", 19: "reset_comm_link_884_u84", 20: "read_file_record",
	21: "write_file_record", 22: "mask_write_register", 23: "read_write_multiple_registers", 24: "read_fifo_queue",
	43: "encapsulated_interface", 90: "unity_programming", 125: "firmware_replacement",
}

// Sub-functions that are worth a name of their own.
var modbusDiagnostics = map[uint16]string{
	1: "diagnostics_restart_communications", 3: "diagnostics_change_delimiter", 4: "diagnostics_force_listen_only",
	10: "diagnostics_clear_counters", 20: "diagnostics_clear_overrun",
}

var modbusExceptions = map[byte]string{
	1: "illegal_function", 2: "illegal_data_address", 3: "illegal_data_value", 4: "server_device_failure",
	5: "acknowledge", 6: "server_device_busy", 7: "negative_acknowledge", 8: "memory_parity_error",
	10: "gateway_path_unavailable", 11: "gateway_target_failed",
}

// DNP3 application functions (IEEE 1815, 4.4).
var dnp3Functions = map[byte]string{
	0: "confirm", 1: "read", 2: "write", 3: "select", 4: "operate", 5: "direct_operate", 6: "direct_operate_no_ack",
	7: "immediate_freeze", 8: "immediate_freeze_no_ack", 9: "freeze_clear", 10: "freeze_clear_no_ack",
	11: "freeze_at_time", 12: "freeze_at_time_no_ack", 13: "cold_restart", 14: "warm_restart",
	15: "initialize_data", 16: "initialize_application", 17: "start_application", 18: "stop_application",
	19: "save_configuration", 20: "enable_unsolicited", 21: "disable_unsolicited", 22: "assign_class",
	23: "delay_measure", 24: "record_current_time", 25: "open_file", 26: "close_file", 27: "delete_file",
	28: "get_file_info", 29: "authenticate_file", 30: "abort_file", 31: "activate_configuration",
	32: "authenticate_request", 33: "authenticate_request_no_ack",
	129: "response", 130: "unsolicited_response", 131: "authenticate_response",
}

// acting are the functions that change what the device does, holds, or reports.
var acting = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range []string{
		"write_single_coil", "write_single_register", "write_multiple_coils", "write_multiple_registers",
		"write_file_record", "mask_write_register", "read_write_multiple_registers",
		"diagnostics_restart_communications", "diagnostics_change_delimiter", "diagnostics_force_listen_only",
		"diagnostics_clear_counters", "diagnostics_clear_overrun",
		"program_484", "program_584_984", "program_884_u84", "reset_comm_link_884_u84",
		"unity_programming", "firmware_replacement",
	} {
		m[name] = true
	}
	reading := map[byte]bool{0: true, 1: true, 23: true, 25: true, 26: true, 28: true, 29: true, 30: true, 32: true, 33: true}
	for code, name := range dnp3Functions {
		if code < 128 && !reading[code] {
			m[name] = true
		}
	}
	return m
}()

var answers = map[string]bool{"response": true, "unsolicited_response": true, "authenticate_response": true}

func function(command string) string {
	_, f, _ := strings.Cut(command, "/")
	return f
}

// StateChanging reports whether a command as found in [flow.Record.Commands]
// changes the state of the device that gets it: writes, operates, freezes,
// restarts, programs, reconfigures.
func StateChanging(command string) bool { return acting[function(command)] }

// IsRequest reports whether a command is one, and not the answer or the
// exception of the device that was asked.
func IsRequest(command string) bool {
	f := function(command)
	return f != "" && !answers[f] && !strings.HasPrefix(f, "exception_")
}

// commands keeps one copy of each command's text.
type commands map[uint64]string

func (c commands) of(key uint64, unit uint64, name func() string) string {
	if s, ok := c[key]; ok {
		return s
	}
	if len(c) >= maxWords {
		clear(c)
	}
	s := strconv.FormatUint(unit, 10) + "/" + name()
	c[key] = s
	return s
}

func appendUint(b []byte, x uint64) []byte { return strconv.AppendUint(b, x, 10) }
