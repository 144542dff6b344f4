// Package outlets holds that nothing which was accepted is lost on its way to where events are sent:
// the real binary against real servers that are killed, paused, refuse and are full.
//
// The short of it runs with all other tests; MONBAN_LONG=1 (make test-servers) runs it at length.
package outlets
