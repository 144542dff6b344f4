// Package servers starts real servers for tests: what our events are sent to in earnest, not
// something that pretends to be it.
//
// It promises that a server listens on loopback only, answers when its start returns, is ended with
// the test process however that ends, and that its log is still there after a failed test. What a
// server is made of comes from Maven Central once, is checked against a sum written down here, and
// lies in .cache/servers, or in MONBAN_SERVERS, after that. It gives up other systems than Linux.
//
// A test that needs a server is skipped where it can't be had (no java, no network), or fails there
// if MONBAN_REQUIRE_SERVERS=1.
package servers
